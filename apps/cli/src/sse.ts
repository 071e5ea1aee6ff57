import { setTimeout as pause } from 'node:timers/promises';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { ApiError, unreachable } from './errors.ts';

export type SseEvent = { readonly id?: string; readonly event: string; readonly data: unknown };
type Options = {
  readonly headers: Readonly<Record<string, string>>;
  readonly patienceMs: number;
  readonly lastEventId?: string;
  readonly signal?: AbortSignal;
};

/**
 * Events until the server says `end` or the signal aborts. A broken connection is made again from the last event seen, so a restart of
 * the server is not noticed; after `patienceMs` without one it throws.
 */
export async function* eventStream(url: string, options: Options): AsyncGenerator<SseEvent> {
  const { signal, patienceMs } = options;
  let last = options.lastEventId;
  for (let alive = Date.now(), wait = 100; !signal?.aborted; wait = Math.min(wait * 2, 1_000)) {
    try {
      for await (const e of connection(url, options, last)) {
        [alive, wait, last] = [Date.now(), 100, e.id ?? last];
        yield e;
        if (e.event === 'end') return;
      }
      alive = Date.now(); // an orderly end: the server stops
    } catch (error) {
      if (signal?.aborted) return;
      if (error instanceof ApiError && error.status !== 503) throw error;
      if (Date.now() - alive > patienceMs) throw error instanceof ApiError ? error : unreachable(new URL(url).origin, error);
    }
    await pause(wait, undefined, signal ? { signal } : {}).catch(() => undefined);
  }
}

async function* connection(url: string, { headers, signal }: Options, last: string | undefined): AsyncGenerator<SseEvent> {
  const response = await fetch(url, {
    headers: { accept: 'text/event-stream', ...headers, ...(last === undefined ? {} : { 'last-event-id': last }) },
    ...(signal ? { signal } : {}),
  });
  if (!response.ok) throw ApiError.of(response.status, await response.json().catch(() => undefined));
  const ready: EventSourceMessage[] = [];
  const parser = createParser({ onEvent: (e) => void ready.push(e) });
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    parser.feed(chunk);
    for (const { id, event, data } of ready.splice(0))
      yield { ...(id === undefined ? {} : { id }), event: event ?? 'message', data: JSON.parse(data) };
  }
}
