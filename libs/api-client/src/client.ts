import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { openSocket } from './console.ts';
import { ApiError, OperationTimeout, unreachable } from './errors.ts';
import type { views } from '@chrysalis/contracts';
import type { Operation } from './generated/types.gen.ts';
import { urlOf, type AnswerOf, type ItemOf, type ListPath, type Method, type PathOf, type QueryOf, type Sent } from './routes.ts';
import { eventStream, type SseEvent } from './sse.ts';

export type ClientOptions = {
  /** Of the admin API, e.g. `http://127.0.0.1:7070`. */
  readonly server: string;
  readonly token?: string | undefined;
  /** How long a server that is away (restarting) is waited for; 15 s unless told. */
  readonly patienceMs?: number;
};
export type RequestOptions = {
  /** Made for each unsafe request unless given; keeps a repetition from being done twice. */
  readonly idempotencyKey?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Of one attempt; 70 s unless told, as a long-poll takes up to 60. */
  readonly timeoutMs?: number;
};
export type WaitOptions = {
  /** An end before this version of the operation is none. */
  readonly atLeast?: number;
  /** 5 minutes unless told; then `OperationTimeout`. The operation itself goes on. */
  readonly timeoutMs?: number;
  /** Each event of the operation, and `operation` with its new state at each change. */
  readonly onEvent?: (event: SseEvent) => void;
  readonly signal?: AbortSignal;
};
/** A sample of a running move; bytes, Mbit/s, dirty pages a second. */
export type Progress = views.MoveSample;
export type Client = ReturnType<typeof createClient>;

/** The admin API, with retries that are safe. Every refusal is an `ApiError` with the server's stable code. */
export const createClient = ({ server, token, patienceMs = 15_000 }: ClientOptions) => {
  const base = server.replace(/\/$/, '');
  const authorization: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {};

  const send = sending({ base, authorization, patienceMs });
  const request = async <T = unknown>(method: string, path: string, body?: unknown, options: RequestOptions = {}): Promise<T> => {
    const response = await send(method, path, body, options);
    const text = await response.text();
    const value: unknown = text && /[/+]json/.test(response.headers.get('content-type') ?? '') ? JSON.parse(text) : text;
    if (!response.ok) throw ApiError.of(response.status, value);
    return value as T;
  };

  const events = (
    path: string,
    options: { lastEventId?: string; signal?: AbortSignal; patienceMs?: number } = {},
  ): AsyncGenerator<SseEvent> => eventStream(`${base}${path}`, { headers: authorization, patienceMs, ...options });

  const operation = (id: string, waitMs = 0, atLeast = 0): Promise<Operation> =>
    request<Operation>('GET', `/v1/operations/${encodeURIComponent(id)}${waitMs > 0 ? `?wait=${waitMs}ms&atLeast=${atLeast}` : ''}`);

  /** The operation in its final state, whatever that is: `state` tells. */
  const waitOperation = async (id: string, { onEvent, ...options }: WaitOptions = {}): Promise<Operation> => {
    const { atLeast = 0 } = options;
    if (!onEvent) return final(operation, id, options);
    const watching = new AbortController();
    const path = `/v1/operations/${encodeURIComponent(id)}/events?atLeast=${atLeast}`;
    const watch = follow(events(path, { signal: watching.signal }), onEvent);
    try {
      const seen = await final(operation, id, options);
      await Promise.race([watch, pause(1_000)]); // the last events are on their way
      return seen;
    } finally {
      watching.abort();
    }
  };

  const progress = async function* (options: { signal?: AbortSignal; vm?: string; move?: string } = {}): AsyncGenerator<Progress> {
    const query = new URLSearchParams({ ...(options.vm ? { vm: options.vm } : {}), ...(options.move ? { move: options.move } : {}) });
    for await (const e of events(`/v1/progress?${query}`, options.signal ? { signal: options.signal } : {}))
      if (e.event === 'progress') yield e.data as Progress;
  };

  /** Every item of a list, page after page. */
  const all = async <P extends ListPath>(at: P, query: QueryOf<P> = {} as QueryOf<P>): Promise<ItemOf<P>[]> => {
    const items: ItemOf<P>[] = [];
    for (let cursor: string | undefined, first = true; first || cursor; first = false) {
      const page: { items: ItemOf<P>[]; next?: string } = await request('GET', urlOf(at, {}, { ...query, cursor }));
      items.push(...page.items);
      cursor = page.next;
    }
    return items;
  };

  return {
    server: base,
    ...calls(request),
    request,
    all,
    events,
    operation,
    waitOperation,
    progress,
    bytes: bytesOf(send),
    socket: (path: string) => openSocket(base, authorization, path),
  };
};

type Sending = { readonly base: string; readonly authorization: Record<string, string>; readonly patienceMs: number };
/** Tried again while the server is away: what changes something carries a key, so that it is done once. */
const sending =
  ({ base, authorization, patienceMs }: Sending) =>
  async (method: string, path: string, body: unknown, options: RequestOptions): Promise<Response> => {
    const key = options.idempotencyKey ?? randomUUID();
    const headers = { ...authorization, ...(method === 'GET' ? {} : { 'idempotency-key': key }), ...options.headers };
    for (let until = Date.now() + patienceMs, wait = 50; ; wait = Math.min(wait * 2, 1_000)) {
      const answer = await attempt(method, `${base}${path}`, body, { ...options, headers }).catch((error: unknown) => {
        if (options.signal?.aborted) throw error;
        return unreachable(base, error);
      });
      const away = answer instanceof ApiError || answer.status === 503;
      if (!away || Date.now() + wait > until) {
        if (answer instanceof ApiError) throw answer;
        return answer;
      }
      await pause(wait, undefined, options.signal ? { signal: options.signal } : {});
    }
  };

/** What is no JSON, whole. */
const bytesOf =
  (send: ReturnType<typeof sending>) =>
  async (path: string): Promise<Buffer> => {
    const response = await send('GET', path, undefined, { headers: { accept: '*/*' } });
    if (!response.ok) throw ApiError.of(response.status, await response.json().catch(() => undefined));
    return Buffer.from(await response.arrayBuffer());
  };

/** One try. */
const attempt = (method: string, url: string, body: unknown, { signal, timeoutMs = 70_000, headers }: RequestOptions): Promise<Response> =>
  fetch(url, {
    method,
    headers: { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(signal ? [signal] : [])]),
  });

type Ask = (id: string, waitMs: number, atLeast: number) => Promise<Operation>;
const final = async (ask: Ask, id: string, { timeoutMs = 300_000, atLeast = 0, signal }: WaitOptions): Promise<Operation> => {
  for (const end = Date.now() + timeoutMs; ;) {
    signal?.throwIfAborted();
    const seen = await ask(id, Math.max(1, Math.min(20_000, end - Date.now())), atLeast);
    if (seen.state !== 'running' && seen.state !== 'queued' && seen.version >= atLeast) return seen;
    if (Date.now() >= end) throw new OperationTimeout(seen, timeoutMs);
  }
};

const follow = async (stream: AsyncGenerator<SseEvent>, onEvent: (e: SseEvent) => void): Promise<void> => {
  try {
    for await (const e of stream) onEvent(e);
  } catch {
    // what is shown may stop; the state is asked for apart from it
  }
};

type Request = <T = unknown>(method: string, path: string, body?: unknown, options?: RequestOptions) => Promise<T>;

/** The routes of the document, each with what it takes and what it answers. */
const calls = (request: Request) => {
  const call =
    <M extends Method>(method: M) =>
    <P extends PathOf<M>>(at: P, ...[given]: Sent<M, P, RequestOptions>): Promise<AnswerOf<M, P>> => {
      const { path, query, body, ...options } = (given ?? {}) as RequestOptions & { path?: object; query?: object; body?: unknown };
      return request(method.toUpperCase(), urlOf(at, path as never, query as never), body, options);
    };
  return { get: call('get'), post: call('post'), put: call('put'), patch: call('patch'), delete: call('delete') };
};

/** The same client, whose every call goes another way. */
export const withRequest = (client: Client, request: Request): Client => ({ ...client, request, ...calls(request) });
