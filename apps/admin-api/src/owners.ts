import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { ReadableStream } from 'node:stream/web';
import { setTimeout as pause } from 'node:timers/promises';
import { StreamableFile } from '@nestjs/common';
import type { Context } from '@chrysalis/contracts';
import { Answer, newId, ProblemError, type ApiRequest, type Problem, type ServiceContext } from '@chrysalis/service-kit';
import { WebSocket } from 'ws';
import type { ReadModels } from './reads/read-models.ts';

/** An owner that is killed is back in about 8 s: so long its callers wait before they hear of it. */
const PATIENCE_MS = 12_000;
const ATTEMPT_MS = 15_000;
const passedOn = ['authorization', 'traceparent', 'tracestate', 'x-correlation-id', 'if-match', 'if-none-match'] as const;
const passedBack = ['content-type', 'etag', 'location', 'retry-after', 'idempotent-replay'] as const;

type Call = {
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body?: unknown;
  readonly patienceMs?: number;
};

/** Passes commands on to the services that own them. */
export class Owners {
  constructor(
    private readonly service: ServiceContext,
    private readonly reads: ReadModels,
  ) {}

  /**
   * The owner's answer, as it came. While the owner is away the call is repeated: every unsafe call has an `Idempotency-Key` (the
   * caller's, else one made here), so a repetition of a command that was done answers what the first answered.
   */
  async pass(context: Context, request: ApiRequest, path = request.url): Promise<Answer> {
    const to = path.includes('?') ? path : `${path}${new URL(request.url, 'http://here').search}`;
    const answer = await this.call(context, { method: request.method, path: to, headers: this.#headers(request), body: request.body });
    if (request.method !== 'GET' && answer.status < 300) this.reads.commandPassed();
    return answer;
  }

  /** One call of an owner; `patienceMs` is how long it may be away. */
  async call(context: Context, { method, path, headers, body, patienceMs = PATIENCE_MS }: Call): Promise<Answer> {
    const url = `${this.#urlOf(context)}${path}`;
    const init = { method, headers, ...(body === undefined || body === null ? {} : { body: JSON.stringify(body) }) };
    let why: unknown;
    for (let waited = 0, wait = 100; waited <= patienceMs; waited += wait, wait = Math.min(wait * 2, 1_000)) {
      if (waited > 0 || wait > 100) await pause(wait);
      try {
        const response = await fetch(url, { ...init, signal: AbortSignal.timeout(ATTEMPT_MS) });
        if (!(await isStarting(response))) return await answerOf(response);
        why = 'it is starting';
      } catch (error) {
        why = reasonOf(error);
        if ((error as Error).name === 'TimeoutError') break;
      }
    }
    throw unavailable(context, String(why));
  }

  /** The owner's answer to a GET as it comes, for what is long; a refusal as a whole. */
  async stream(context: Context, request: ApiRequest, path = request.url): Promise<StreamableFile | Answer> {
    const headers = { ...this.#headers(request), accept: 'application/x-ndjson' };
    const response = await fetch(`${this.#urlOf(context)}${path}`, { headers }).catch((error: unknown) => {
      throw unavailable(context, reasonOf(error));
    });
    if (!response.ok || !response.body) return answerOf(response);
    const type = response.headers.get('content-type') ?? 'application/x-ndjson';
    return new StreamableFile(Readable.fromWeb(response.body as ReadableStream), { type });
  }

  /** A WebSocket of the owner's, which reads nothing until it is resumed. What the owner refuses it with is the caller's answer. */
  socket(context: Context, path: string, token: string): Promise<WebSocket> {
    const url = `${this.#urlOf(context).replace(/^http/, 'ws')}${path}`;
    const socket = new WebSocket(url, { headers: { authorization: `Bearer ${token}` }, handshakeTimeout: 5_000, perMessageDeflate: false });
    return new Promise((done, fail) => {
      socket.once('open', () => {
        socket.pause();
        done(socket);
      });
      socket.once('unexpected-response', (_, response) => {
        text(response).then(
          (body) => fail(ProblemError.from(problemIn(body) ?? unavailable(context, `it answered ${response.statusCode}`).problem)),
          (error: unknown) => fail(unavailable(context, reasonOf(error))),
        );
      });
      socket.on('error', (error) => fail(unavailable(context, reasonOf(error))));
    });
  }

  /** The answer to a GET, or `undefined` while the owner is away or has none: for what there is another answer to. */
  async ask(context: Context, request: ApiRequest, patienceMs: number): Promise<Answer | undefined> {
    const call = { method: 'GET', path: request.url, headers: this.#headers(request), patienceMs };
    const answer = await this.call(context, call).catch((error: unknown) => {
      if (error instanceof ProblemError) return undefined;
      throw error;
    });
    return answer?.status === 200 ? answer : undefined;
  }

  #urlOf(context: Context): string {
    const url = this.service.config.serviceUrls?.[context];
    if (!url) throw unavailable(context, 'its address is not configured');
    return url.replace(/\/$/, '');
  }

  #headers(request: ApiRequest): Record<string, string> {
    const given = Object.fromEntries(passedOn.flatMap((n) => (request.headers[n] ? [[n, [request.headers[n]].flat().join(', ')]] : [])));
    if (request.method === 'GET') return given;
    const key = [request.headers['idempotency-key']].flat()[0] ?? newId('key');
    return { ...given, 'idempotency-key': key, ...(request.body == null ? {} : { 'content-type': 'application/json' }) };
  }
}

const problemIn = (text: string): Problem | undefined => {
  try {
    const problem = JSON.parse(text) as Problem;
    return typeof problem.code === 'string' && typeof problem.status === 'number' ? problem : undefined;
  } catch {
    return undefined;
  }
};

const isStarting = async (response: Response): Promise<boolean> =>
  response.status === 503 &&
  (
    (await response
      .clone()
      .json()
      .catch(() => ({}))) as { code?: string }
  ).code === 'service.not_ready';

const answerOf = async (response: Response): Promise<Answer> => {
  const text = await response.text();
  const isJson = (response.headers.get('content-type') ?? '').includes('json');
  const headers = Object.fromEntries(passedBack.flatMap((n) => (response.headers.has(n) ? [[n, response.headers.get(n)!]] : [])));
  return new Answer(response.status, isJson && text ? JSON.parse(text) : text || undefined, headers);
};

const reasonOf = (error: unknown): string => {
  const { cause, message, name } = error as Error & { cause?: { code?: string; message?: string } };
  return name === 'TimeoutError' ? `no answer within ${ATTEMPT_MS / 1000} s` : (cause?.code ?? cause?.message ?? message);
};

const unavailable = (context: string, why: string): ProblemError =>
  ProblemError.of({ code: 'service.unavailable', message: `The service ${context} does not answer: ${why}`, service: context });
