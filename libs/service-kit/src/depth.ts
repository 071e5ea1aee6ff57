import type { CanActivate, ExecutionContext } from '@nestjs/common';
import { isDeeperThan } from '@chrysalis/kernel';
import { ProblemError } from './problems.ts';

const DEPTH = 200;

/** Nothing of ours is nested deeper; what is would end a recursion (hashing, writing) in a fault of the service. */
export class DepthGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const { body } = context.switchToHttp().getRequest<{ body?: unknown }>();
    if (!isDeeperThan(body, DEPTH)) return true;
    throw new ProblemError({ status: 422, code: 'request.too_deep', title: `The body is nested more than ${DEPTH} deep` });
  }
}
