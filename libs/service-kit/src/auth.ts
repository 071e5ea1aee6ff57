import { SetMetadata, type CanActivate, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { JWK } from 'jose';
import { ProblemError } from './problems.ts';
import { allows, verifyToken, type Caller, type Role } from './tokens.ts';

const NEEDS = 'chrysalis:allow';
export type Needed = Role | 'public';
/** What a route needs. Every route has one: a service with a route that lacks it does not start. */
export const Allow = (needed: Needed): MethodDecorator => SetMetadata(NEEDS, needed);
export const neededBy = (handler: object): Needed | undefined => Reflect.getMetadata(NEEDS, handler) as Needed | undefined;

export type ApiRequest = FastifyRequest & { caller: Caller };

export class AuthGuard implements CanActivate {
  constructor(private readonly tokenKey: JWK) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const needed = neededBy(context.getHandler());
    if (needed === 'public') return true;
    const request = context.switchToHttp().getRequest<ApiRequest>();
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    const caller = token ? await verifyToken(this.tokenKey, token) : undefined;
    if (!caller)
      throw new ProblemError({
        status: 401,
        code: 'auth.required',
        title: 'A valid token is needed',
        detail: 'Send `Authorization: Bearer <token>`',
      });
    if (!needed || !allows(caller, needed))
      throw new ProblemError({
        status: 403,
        code: 'auth.denied',
        title: 'The caller may not do this',
        detail: `It needs the role ${needed}: ask with the token of one who has it`,
        needs: needed,
        has: caller.roles,
      });
    request.caller = caller;
    return true;
  }
}
