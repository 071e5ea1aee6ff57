import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { droppedMembers, type Rejection } from '@chrysalis/kernel';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { z } from 'zod';
import { isDatabaseAway } from './database-away.ts';
import { KNOWN, wordsOf } from './words.ts';

export type Problem = { status: number; code: string; title: string; detail?: string; [member: string]: unknown };

/** RFC 9457. `code` is what programs read; it never changes its meaning. */
export class ProblemError extends Error {
  constructor(readonly problem: Problem) {
    super(`${problem.code}: ${problem.detail ?? problem.title}`);
    this.name = 'ProblemError';
  }

  /** A decider's refusal as an answer: what is unknown is 404, malformed 400, denied 403, everything else a conflict with what is. */
  static of(rejection: Rejection, status = statusOf(rejection.code)): ProblemError {
    const { code, message, ...evidence } = rejection;
    return new ProblemError({
      ...evidence,
      status,
      code,
      title: titleOf(code),
      detail:
        typeof message === 'string'
          ? message
          : [wordsOf(rejection), KNOWN in evidence ? undefined : adviceOn(code)].filter(Boolean).join('. '),
    });
  }
}

/** The document as it goes out; `instance` is the path it answers. */
export const problemDocument = (problem: Problem, instance?: string): object => ({
  type: `https://chrysalis.invalid/problems/${problem.code}`,
  ...problem,
  ...(instance === undefined ? {} : { instance }),
});

const statusOf = (code: string): number => {
  const reason = code.slice(code.indexOf('.') + 1);
  if (code === 'stream.version_mismatch') return 412; // what If-Match asks for (RFC 9110, 13.1.1)
  if (reason === 'unknown' || reason === 'not_found') return 404;
  if (reason === 'malformed') return 400;
  if (reason === 'invalid' || reason === 'impossible' || reason.endsWith('_invalid') || reason.endsWith('_unknown')) return 422;
  if (reason === 'denied' || reason === 'expired' || reason.startsWith('foreign')) return 403;
  return 409;
};
/** For refusals that bring no words of their own: what to do next. */
const adviceOn = (code: string): string | undefined => {
  const [noun = code, reason = ''] = code.split('.');
  return (advice[code] ?? advice[reason])?.replaceAll('…', noun.replaceAll(/[-_]/g, ' '));
};
const unknown = 'If there is one, you may not see it: look for its id or name in the list';
const advice: Readonly<Record<string, string>> = {
  unknown,
  not_found: unknown,
  'stream.version_mismatch': 'It has changed since you saw it: read it again, and send the ETag it has now',
  foreign_vm: 'The … does not name these VMs: ask for one that does',
  expired: 'The time of this … is over: ask for a new one',
  revoked: 'This … was taken back: ask for a new one',
  ended: 'This … has come to its end: nothing is left to do',
  in_move: 'Wait until the move has ended, or cancel it, and try again',
};
const titleOf = (code: string): string => code.replace('.', ': ').replaceAll('_', ' ');

/** Every fault of a value at once, each with its place. */
export const parse = <S extends z.ZodType>(schema: S, value: unknown, code = 'request.invalid'): z.infer<S> => {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw invalid(
    code,
    result.error.issues
      .flatMap((issue) => faultsIn(issue))
      .slice(0, 100)
      .map((i) => ({ path: i.path.join('.') || '(body)', message: i.message })),
  );
};

/** A body: as `parse`, and with no member, at any depth, that the schema does not know. A slip in an optional one would else go unseen. */
export const parseBody = <S extends z.ZodType>(schema: S, value: unknown): z.infer<S> => {
  const body = parse(schema, value);
  const dropped = droppedMembers(value, body);
  if (dropped.length > 0)
    throw invalid(
      'request.invalid',
      dropped.map((path) => ({ path, message: 'Unrecognized key' })),
    );
  return body;
};

type Issue = { readonly path: readonly PropertyKey[]; readonly message: string; readonly errors?: readonly (readonly Issue[])[] };
/** Of a choice of shapes `Invalid input` is all that zod says: the faults of the shape that comes nearest say what to mend. */
const faultsIn = (issue: Issue): readonly Issue[] => {
  const [nearest] = [...(issue.errors ?? [])].sort((a, b) => strangeness(a) - strangeness(b));
  if (nearest === undefined) return [issue];
  return nearest.flatMap((inner) => faultsIn({ ...inner, path: [...issue.path, ...inner.path] }));
};
/** Faults deep inside tell that the outline was meant; a missing or unknown member at the top that it was not. */
const strangeness = (faults: readonly Issue[]): number => faults.filter((f) => f.path.length < 2).length * 1_000 + faults.length;

const invalid = (code: string, errors: { path: string; message: string }[]): ProblemError =>
  new ProblemError({
    status: 422,
    code,
    title: 'The request has faults',
    detail: errors
      .map((e) => `${e.path}: ${e.message}`)
      .join('; ')
      .slice(0, 2000),
    errors,
  });

/** A fault of the query or of a header, as `parse` tells those of a body. */
export const badQuery = (...errors: { path: string; message: string }[]): ProblemError => {
  const { problem } = invalid('request.invalid', errors);
  return new ProblemError({ ...problem, detail: `query ${problem.detail}` });
};

const byStatus: Record<number, [code: string, title: string, advice?: string]> = {
  400: ['request.malformed', 'The request could not be read'],
  401: ['auth.required', 'A valid token is needed'],
  403: ['auth.denied', 'The caller may not do this'],
  404: ['route.unknown', 'There is nothing here', 'GET /openapi.json lists every path and its methods'],
  413: ['request.too_large', 'The request is larger than the limit', 'A body may have 1 MiB'],
  415: ['request.media_type', 'The body must be application/json', 'Send JSON, with `content-type: application/json`'],
};

const away: Problem = {
  status: 503,
  code: 'service.unavailable',
  title: 'The database does not answer',
  detail: 'Try again in a moment, a command with the same Idempotency-Key: nothing is done twice',
};

@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly log: Logger) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const problem = this.#problemOf(error);
    const request = http.getRequest<FastifyRequest>();
    if (problem.status >= 500) this.log.error({ err: error, method: request.method, url: request.url }, 'request failed');
    const reply = http.getResponse<FastifyReply>();
    const { retryAfterSeconds = problem.status === 503 ? 1 : undefined } = problem;
    if (typeof retryAfterSeconds === 'number') void reply.header('retry-after', String(retryAfterSeconds));
    void reply
      .status(problem.status)
      .header('content-type', 'application/problem+json')
      .send(JSON.stringify(problemDocument(problem, request.url)));
  }

  #problemOf(error: unknown): Problem {
    if (error instanceof ProblemError) return error.problem;
    if (isDatabaseAway(error)) return away;
    const status = error instanceof HttpException ? error.getStatus() : ((error as { statusCode?: number })?.statusCode ?? 500);
    const [code, title, advice] =
      byStatus[status] ??
      (status < 500
        ? ['request.refused', 'The request was refused']
        : ['service.fault', 'The service failed; nothing more is known to you']);
    if (status >= 500 || !(error instanceof Error)) return { status, code, title };
    return { status, code, title, detail: [error.message.slice(0, 500), advice].filter(Boolean).join('. ') };
  }
}
