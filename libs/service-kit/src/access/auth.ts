import { SetMetadata } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { JWK } from 'jose';
import { ownerOf } from './belongings.ts';
import { problemDocument, problemOf, type Problem, type ProblemError } from '../http/problems.ts';
import { allows, isOfFleet, verifyToken, type Caller, type Role } from './tokens.ts';

const NEEDS = 'chrysalis:allow';
export type Needed = Exclude<Role, 'fleet'> | 'public';
/** The role that a route needs. Whether it also needs to be the fleet's follows from whose its things are: see `belongings`. */
export const Allow = (needed: Needed): MethodDecorator => SetMetadata(NEEDS, needed);
export const neededBy = (handler: object): Needed | undefined => Reflect.getMetadata(NEEDS, handler) as Needed | undefined;

export type ApiRequest = FastifyRequest & { caller: Caller };
/** What a command's method goes by, whichever door it came in at: a route's request, or one made of a message. */
export type CommandRequest = Pick<ApiRequest, 'method' | 'url' | 'headers' | 'body' | 'caller'> & {
  /** Of the message: what it appends was caused by it. */
  readonly causationId?: string;
  /** It came too late to be done: answered if it was done before, and else refused with this. */
  readonly tooLate?: ProblemError;
};

/** What is the fleet's only its administration changes; what is shared every tenant may look at. */
export const needsFleet = (path: string, needed: Needed): boolean => {
  const owner = ownerOf(path);
  return needed !== 'public' && (owner === 'fleet' || (owner === 'shared' && needed !== 'viewer'));
};

export type Guarded = { readonly method: string; readonly path: string; readonly needed: Needed };

/**
 * The one guard, in front of every route and stream: before a byte of the body is read, so that nobody holds memory here who is not
 * known. A path without a route ends here as well.
 */
export const guard = (routes: readonly Guarded[], tokenKey: JWK): ((request: FastifyRequest, reply: FastifyReply) => Promise<void>) => {
  const needs = new Map(routes.map((r) => [`${r.method} ${r.path}`, r]));
  const callerOf = knownCallers(tokenKey);
  return async (request, reply) => {
    const { url } = request.routeOptions;
    if (request.is404 || url === undefined) return refuse(request, reply, nothingHere(request));
    const route = needs.get(`${request.method === 'HEAD' ? 'GET' : request.method} ${url}`);
    if (!route) return refuse(request, reply, nothingHere(request));
    if (route.needed === 'public') return;
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    const caller = token ? await callerOf(token) : undefined;
    if (!caller) return refuse(request, reply, unknownCaller);
    const refusal = denial(route, route.needed, caller);
    if (refusal) return refuse(request, reply, refusal);
    (request as ApiRequest).caller = caller;
  };
};

const KNOWN = 1_000;
/** Who came with a token before is known by it until it is over: its signature stays what it was, and checking it is a third of a millisecond. */
const knownCallers = (tokenKey: JWK): ((token: string) => Promise<Caller | undefined>) => {
  const known = new Map<string, Caller & { readonly expiresAt: number }>();
  return async (token) => {
    const before = known.get(token);
    if (before && before.expiresAt > Date.now()) return before;
    known.delete(token);
    const caller = await verifyToken(tokenKey, token);
    if (caller?.expiresAt === undefined) return caller;
    if (known.size >= KNOWN) known.delete(known.keys().next().value!);
    known.set(token, { ...caller, expiresAt: caller.expiresAt });
    return caller;
  };
};

/** Why this caller may not, by role and by whose the path's things are. */
export const denial = (route: Guarded, needed: Exclude<Needed, 'public'>, caller: Caller): Problem | undefined => {
  const denied = { code: 'auth.denied', has: caller.roles } as const;
  if (!allows(caller, needed)) return problemOf({ ...denied, message: `It needs the role ${needed}`, needs: needed });
  if (needsFleet(route.path, needed) && !isOfFleet(caller))
    return problemOf({ ...denied, message: 'This is the fleet’s, and no tenant’s: its administration has the role fleet', needs: 'fleet' });
  return undefined;
};

/** So long a caller that was refused may go on sending what nobody reads, so that it comes to read why. */
const LINGER_MS = 1_000;

const refuse = (request: FastifyRequest, reply: FastifyReply, problem: Problem): void => {
  const { raw } = request;
  reply.raw.once('finish', () => {
    if (!raw.complete) setTimeout(() => raw.complete || raw.socket.destroy(), LINGER_MS).unref();
  });
  void reply
    .status(problem.status)
    .header('content-type', 'application/problem+json')
    .send(JSON.stringify(problemDocument(problem, request.url)));
};

const unknownCaller = problemOf({ code: 'auth.required', message: 'No token came, or none that is valid here' });
const nothingHere = ({ method, url }: FastifyRequest): Problem =>
  problemOf({ code: 'route.unknown', message: `Cannot ${method} ${url.slice(0, 400)}` });
