import { setTimeout as pause } from 'node:timers/promises';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { ApiError, unreachable } from './errors.ts';

export type SseEvent = { readonly id?: string; readonly event: string; readonly data: unknown };
type Options = {
  readonly headers: Readonly<Record<string, string>>;
  readonly patienceMs: number;
  readonly lastEventId?: string;
  readonly signal?: AbortSignal;
  /** A server says something every 15 s at least; one that is silent for so long is gone, whatever the connection looks like. */
  readonly silenceMs?: number;
};

/**
 * Events until the server says `end` or the signal aborts. A broken connection is made again from the last event seen, so a restart of
 * the server is not noticed, however quiet it was before; a server that stays away for `patienceMs` throws.
 */
export async function* eventStream(url: string, options: Options): AsyncGenerator<SseEvent> {
  const { signal, patienceMs } = options;
  let last = options.lastEventId;
  let awaySince: number | undefined;
  const here = (): void => void (awaySince = undefined);
  for (let wait = 100; !signal?.aborted; wait = Math.min(wait * 2, 1_000)) {
    try {
      for await (const e of connection(url, options, last, here)) {
        [wait, last] = [100, e.id ?? last];
        if (e.event === 'position') continue; // where to go on from, before there was an event
        yield e;
        if (e.event === 'end') return;
      }
    } catch (error) {
      if (signal?.aborted) return;
      if (error instanceof ApiError && error.status !== 503) throw error;
      awaySince ??= Date.now();
      if (Date.now() - awaySince > patienceMs) throw error instanceof ApiError ? error : unreachable(new URL(url).origin, error);
    }
    await pause(wait, undefined, signal ? { signal } : {}).catch(() => undefined);
  }
}

async function* connection(url: string, options: Options, last: string | undefined, here: () => void): AsyncGenerator<SseEvent> {
  const { headers, signal, silenceMs = 60_000 } = options;
  const silent = new AbortController();
  const timer = setTimeout(() => silent.abort(), silenceMs);
  try {
    const response = await fetch(url, {
      headers: { accept: 'text/event-stream', ...headers, ...(last === undefined ? {} : { 'last-event-id': last }) },
      signal: AbortSignal.any([silent.signal, ...(signal ? [signal] : [])]),
    });
    if (!response.ok) throw ApiError.of(response.status, await response.json().catch(() => undefined));
    here();
    const ready: EventSourceMessage[] = [];
    const parser = createParser({ onEvent: (e) => void ready.push(e) });
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      timer.refresh();
      parser.feed(chunk);
      for (const { id, event, data } of ready.splice(0))
        yield { ...(id === undefined ? {} : { id }), event: event ?? 'message', data: JSON.parse(data) };
    }
  } finally {
    clearTimeout(timer);
  }
}
