import type { CanActivate, ExecutionContext } from '@nestjs/common';
import { isDeeperThan, isStorable } from '@chrysalis/kernel';
import { ProblemError } from './problems.ts';

const DEPTH = 200;

/** What no route of ours could do anything with: bodies nested so deep that a recursion (hashing, writing) ends, and text that PostgreSQL refuses. */
export class BoundsGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const { body, params, query } = context.switchToHttp().getRequest<{ body?: unknown; params?: unknown; query?: unknown }>();
    if (isDeeperThan(body, DEPTH))
      throw ProblemError.of({ code: 'request.too_deep', message: `Nothing here is nested more than ${DEPTH} deep` });
    if (![body, params, query].every(isStorable))
      throw ProblemError.of({
        code: 'request.text_invalid',
        message: 'A string in the path, the query or the body has a NUL character or half of a surrogate pair',
      });
    return true;
  }
}
