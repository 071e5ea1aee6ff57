import type { CanActivate, ExecutionContext } from '@nestjs/common';
import { isDeeperThan, isStorable } from '@chrysalis/kernel';
import { ProblemError } from './problems.ts';

const DEPTH = 200;
/** Of a body, in bytes of JSON. */
export const BODY_LIMIT = 1_048_576;

/** What no route of ours could do anything with: bodies nested so deep that a recursion (hashing, writing) ends, and text that PostgreSQL refuses. */
export class BoundsGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    judgeBounds(context.switchToHttp().getRequest<Bounded>());
    return true;
  }
}

type Bounded = { readonly body?: unknown; readonly params?: unknown; readonly query?: unknown };
export const judgeBounds = ({ body, params, query }: Bounded): void => {
  if (isDeeperThan(body, DEPTH))
    throw ProblemError.of({ code: 'request.too_deep', message: `Nothing here is nested more than ${DEPTH} deep` });
  if (![body, params, query].every(isStorable))
    throw ProblemError.of({
      code: 'request.text_invalid',
      message: 'A string in the path, the query or the body has a NUL character or half of a surrogate pair',
    });
};
