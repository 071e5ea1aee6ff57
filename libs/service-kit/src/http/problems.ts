import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { CODES, faultsIn, nextOf, NO_SUCH_MEMBER, type ProblemCode, type Refusal, type UnknownCode } from '@chrysalis/contracts';
import { isDatabaseAway } from '@chrysalis/event-store';
import { droppedMembers } from '@chrysalis/kernel';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { z } from 'zod';
import { wordsOf } from './words.ts';

export type Problem = { status: number; code: string; title: string; detail?: string; next?: string; [member: string]: unknown };

/** RFC 9457. `code` is what programs read; status, title and what to do next are those of its entry in the catalogue. */
export const problemOf = (refusal: Refusal<ProblemCode>): Problem => {
  const { code, message: _, ...evidence } = refusal;
  const { status, title } = CODES[code];
  const next = nextOf(code, evidence);
  return { ...evidence, status, code, title, detail: wordsOf(refusal), ...(next === undefined ? {} : { next }) };
};

export class ProblemError extends Error {
  private constructor(readonly problem: Problem) {
    super(`${problem.code}: ${problem.detail ?? problem.title}`);
    this.name = 'ProblemError';
  }

  static of(refusal: Refusal<ProblemCode>): ProblemError {
    return new ProblemError(problemOf(refusal));
  }

  /** One that was judged already. */
  static from(problem: Problem): ProblemError {
    return new ProblemError(problem);
  }

  /** Something unknown that a member of the body names, not the path. */
  static ofMember(refusal: Refusal<UnknownCode>): ProblemError {
    return new ProblemError({ ...problemOf(refusal), status: 422 });
  }
}

/** The document as it goes out; `instance` is the path it answers. */
export const problemDocument = (problem: Problem, instance?: string): object => ({
  type: `https://chrysalis.invalid/problems/${problem.code}`,
  ...problem,
  ...(instance === undefined ? {} : { instance }),
});

/** Every fault of a value at once, each with its place. */
export const parse = <S extends z.ZodType>(schema: S, value: unknown, code: ProblemCode = 'request.invalid'): z.infer<S> => {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw invalid(code, faultsIn(result.error, '(body)'));
};

/** A body: as `parse`, and with no member, at any depth, that the schema does not know. A slip in an optional one would else go unseen. */
export const parseBody = <S extends z.ZodType>(schema: S, value: unknown): z.infer<S> => {
  const body = parse(schema, value);
  const dropped = droppedMembers(value, body);
  if (dropped.length > 0)
    throw invalid(
      'request.invalid',
      dropped.map((path) => ({ path, message: NO_SUCH_MEMBER })),
    );
  return body;
};

type Fault = { path: string; message: string };
const invalid = (code: ProblemCode, errors: Fault[], where = ''): ProblemError =>
  ProblemError.of({
    code,
    message: `${where}${errors.map((e) => `${e.path}: ${e.message}`).join('; ')}`.slice(0, 2000),
    errors,
  });

/** A fault of the query or of a header, as `parse` tells those of a body. */
export const badQuery = (...errors: Fault[]): ProblemError => invalid('request.invalid', errors, 'query ');

/** What the framework refuses by itself. */
const byStatus: Record<number, ProblemCode> = {
  400: 'request.malformed',
  401: 'auth.required',
  403: 'auth.denied',
  404: 'route.unknown',
  413: 'request.too_large',
  415: 'request.media_type',
};

@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly log: Logger) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const problem = problemFor(error);
    const request = http.getRequest<FastifyRequest>();
    if (problem.status >= 500) this.log.error({ err: error, method: request.method, url: request.url }, 'request failed');
    const reply = http.getResponse<FastifyReply>();
    void reply
      .status(problem.status)
      .headers(problemHeaders(problem))
      .header('content-type', 'application/problem+json')
      .send(JSON.stringify(problemDocument(problem, request.url)));
  }
}

/** What a caller is told of whatever was thrown. */
export const problemFor = (error: unknown): Problem => {
  if (error instanceof ProblemError) return error.problem;
  if (isDatabaseAway(error)) return problemOf({ code: 'service.unavailable', message: 'The database does not answer' });
  const status = error instanceof HttpException ? error.getStatus() : ((error as { statusCode?: number })?.statusCode ?? 500);
  const code = byStatus[status] ?? (status < 500 ? 'request.refused' : 'service.fault');
  const message = status < 500 && error instanceof Error ? error.message.slice(0, 500) : 'Nothing more is known to you';
  return { ...problemOf({ code, message }), status };
};

export const problemHeaders = ({ status, retryAfterSeconds = status === 503 ? 1 : undefined }: Problem): Record<string, string> =>
  typeof retryAfterSeconds === 'number' ? { 'retry-after': String(retryAfterSeconds) } : {};
