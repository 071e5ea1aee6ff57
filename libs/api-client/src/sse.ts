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
  const { signal } = options;
  const place = new Place(options, new URL(url).origin);
  while (!signal?.aborted) {
    try {
      if (yield* connection(url, options, place)) return;
    } catch (error) {
      if (signal?.aborted) return;
      place.failed(error);
    }
    await pause(place.nextWait(), undefined, signal ? { signal } : {}).catch(() => undefined);
  }
}

const WAIT_MS = { first: 100, most: 1_000 };

/** How far a stream is, and for how long its server is away. */
class Place {
  last: string | undefined;
  #wait = WAIT_MS.first;
  #awaySince: number | undefined;
  readonly #patienceMs: number;

  constructor(
    { lastEventId, patienceMs }: Options,
    private readonly origin: string,
  ) {
    this.last = lastEventId;
    this.#patienceMs = patienceMs;
  }

  /** The server answered. */
  here(): void {
    this.#awaySince = undefined;
  }

  heard(id: string | undefined): void {
    this.last = id ?? this.last;
    this.#wait = WAIT_MS.first;
  }

  nextWait(): number {
    const wait = this.#wait;
    this.#wait = Math.min(wait * 2, WAIT_MS.most);
    return wait;
  }

  /** Throws what is no absence, or too long a one. */
  failed(error: unknown): void {
    if (error instanceof ApiError && error.status !== 503) throw error;
    this.#awaySince ??= Date.now();
    if (Date.now() - this.#awaySince <= this.#patienceMs) return;
    throw error instanceof ApiError ? error : unreachable(this.origin, error);
  }
}

/** True where the server said `end`. */
async function* connection(url: string, options: Options, place: Place): AsyncGenerator<SseEvent, boolean> {
  const { headers, signal, silenceMs = 60_000 } = options;
  const silent = new AbortController();
  const timer = setTimeout(() => silent.abort(), silenceMs);
  try {
    const response = await fetch(url, {
      headers: { accept: 'text/event-stream', ...headers, ...(place.last === undefined ? {} : { 'last-event-id': place.last }) },
      signal: AbortSignal.any([silent.signal, ...(signal ? [signal] : [])]),
    });
    if (!response.ok) throw ApiError.of(response.status, await response.json().catch(() => undefined));
    place.here();
    for await (const e of eventsIn(response, () => timer.refresh())) {
      place.heard(e.id);
      if (e.event !== 'position') yield e; // that is where to go on from, before there was an event
      if (e.event === 'end') return true;
    }
    return false;
  } finally {
    clearTimeout(timer);
  }
}

async function* eventsIn(response: Response, came: () => void): AsyncGenerator<SseEvent> {
  const ready: EventSourceMessage[] = [];
  const parser = createParser({ onEvent: (e) => void ready.push(e) });
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    came();
    parser.feed(chunk);
    for (const { id, event, data } of ready.splice(0))
      yield { ...(id === undefined ? {} : { id }), event: event ?? 'message', data: JSON.parse(data) };
  }
}
