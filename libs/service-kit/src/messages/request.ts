import { CommandAttributes, CommandData, COMMAND_LIVES_MS } from '@chrysalis/contracts';
import type { CloudEvent } from '@chrysalis/messaging';
import type { JWK } from 'jose';
import type { z } from 'zod';
import { denial } from '../access/auth.ts';
import { verifyToken, type Caller } from '../access/tokens.ts';
import { BODY_LIMIT, judgeBounds } from '../http/bounds.ts';
import { ProblemError } from '../http/problems.ts';
import { ANSWERS_KEPT_MS } from '../runtime/sweep.ts';
import type { Commanded } from './as-message.ts';
import type { MessageRequest } from './invoke.ts';

/**
 * A command's message as the request that HTTP would have brought: of the same caller, at the same URL, under the same idempotency key.
 * Throws what HTTP would refuse with, and what only a message can be.
 */
export const requestOf = async (
  event: CloudEvent,
  commanded: Commanded | undefined,
  tokenKey: JWK,
  now: number,
): Promise<MessageRequest> => {
  const { id, expirytime, correlationid, traceparent } = read(CommandAttributes, event, 'attributes');
  if (!commanded) throw ProblemError.of({ code: 'command.unknown', message: 'Nobody takes this type' });
  const { contract, route } = commanded;
  const data = read(CommandData, event.data, 'data');
  const caller = await callerOf(data.token, tokenKey, now);
  const denied = denial(route, route.needed, caller);
  if (denied) throw ProblemError.from(denied);
  const tooLate = tooLateAt(now, Date.parse(expirytime), caller);
  judge(data, contract.params);
  const params = { ...data.params, ...contract.fixed };
  return {
    method: route.method,
    url: `${urlOf(route.path, params)}${data.dryRun ? '?dryRun=true' : ''}`,
    headers: { 'idempotency-key': id, 'x-correlation-id': correlationid ?? id, traceparent, 'if-match': data.ifMatch },
    body: data.body,
    caller,
    causationId: id,
    params,
    query: data.dryRun ? { dryRun: 'true' } : {},
    ...(tooLate ? { tooLate } : {}),
  };
};

const judge = (data: z.infer<typeof CommandData>, params: readonly string[]): void => {
  if (Object.keys(data.params).sort().join() !== [...params].sort().join())
    throw malformed(`data.params: must name ${params.join(' and ') || 'nothing'}`);
  judgeBounds(data);
  if (Buffer.byteLength(JSON.stringify(data.body) ?? '') > BODY_LIMIT)
    throw ProblemError.of({ code: 'request.too_large', message: `A body has ${BODY_LIMIT} bytes at most` });
};

/** Of what was read nothing is said but the names that the schema has: a token may stand at any place, and an answer may be logged. */
const read = <S extends z.ZodType>(schema: S, value: unknown, what: string): z.infer<S> => {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map(({ code, path, message }) =>
    code === 'unrecognized_keys'
      ? `${what}: has a member that there is not`
      : `${[what, ...path.slice(0, 1).map(String)].join('.')}: ${message}`,
  );
  throw malformed([...new Set(faults)].join('; '));
};

const malformed = (message: string): ProblemError => ProblemError.of({ code: 'command.malformed', message });

/** Also by a token that ran out since: a command that was done, and whose answer was lost with a crash, is answered when it comes again. */
const callerOf = async (token: string, key: JWK, now: number): Promise<Caller> => {
  const caller = await verifyToken(key, token, new Date(now - ANSWERS_KEPT_MS));
  if (!caller) throw ProblemError.of({ code: 'auth.required', message: 'No token came, or none that is valid here' });
  return caller;
};

const tooLateAt = (now: number, expires: number, { expiresAt = Number.POSITIVE_INFINITY }: Caller): ProblemError | undefined => {
  if (expires > now + COMMAND_LIVES_MS) throw malformed('expirytime: an hour from now at most, what waits longer is forgotten');
  if (expiresAt <= now) return ProblemError.of({ code: 'auth.required', message: 'The token has run out' });
  if (expires <= now) return ProblemError.of({ code: 'command.expired', message: 'Nothing was done' });
  return undefined;
};

const urlOf = (path: string, params: Readonly<Record<string, string>>): string =>
  path.replaceAll(/:(\w+)/g, (_, name: string) => encodeURIComponent(params[name]!));
