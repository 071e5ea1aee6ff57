import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

export type ListenOptions = {
  readonly connection: pg.ClientConfig;
  readonly channel: string;
  /** With the payload of a notification; with none after each reconnection, since one may have been sent in between. */
  readonly woken: (payload?: string) => void;
  /** Of what `woken` threw, and of each connection that was lost or could not be made. A new one is under way. */
  readonly onError?: (error: unknown) => void;
};

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;
const CONNECT_MS = 5_000;

/**
 * Hears a channel of PostgreSQL on a connection of its own, which is made again for as long as it takes. Resolves when it listens, or
 * when the first connection could not be made, and never rejects. What it answers ends it.
 */
export const listen = async (options: ListenOptions): Promise<() => Promise<void>> => {
  const stopping = new AbortController();
  const tried = Promise.withResolvers<void>();
  const running = keepListening(options, stopping.signal, tried.resolve);
  await tried.promise;
  return async () => {
    stopping.abort();
    await running;
  };
};

const keepListening = async (options: ListenOptions, stop: AbortSignal, tried: () => void): Promise<void> => {
  for (let first = true, failures = 0; !stop.aborted; first = false) {
    const lost = await listenOnce(options, stop, () => {
      failures = 0;
      if (first) tried();
      else tell(options);
    });
    tried();
    if (stop.aborted) return;
    options.onError?.(lost);
    await sleep(Math.min(FIRST_PAUSE_MS * 2 ** failures++, LONGEST_PAUSE_MS), undefined, { signal: stop, ref: false }).catch(
      () => undefined,
    );
  }
};

/** One connection for as long as it lasts; answers what ended it. */
const listenOnce = async (
  { connection, channel, ...options }: ListenOptions,
  stop: AbortSignal,
  listening: () => void,
): Promise<unknown> => {
  const client = new pg.Client({ keepAlive: true, connectionTimeoutMillis: CONNECT_MS, ...connection });
  const { promise: ended, resolve: end } = Promise.withResolvers<unknown>();
  client.on('error', end);
  client.on('end', () => end(new Error('the connection was closed')));
  stop.addEventListener('abort', end);
  client.on('notification', ({ payload }) => tell(options, payload ?? ''));
  try {
    await client.connect();
    await client.query(`listen ${channel}`);
    listening();
    return await ended;
  } catch (error) {
    return error;
  } finally {
    stop.removeEventListener('abort', end);
    const closed = client.end().catch(() => undefined);
    if (stop.aborted) await closed; // else it is lost already, and its end may never come
  }
};

/** Thrown here it would end the process: nobody awaits a notification. */
const tell = ({ woken, onError }: Pick<ListenOptions, 'woken' | 'onError'>, payload?: string): void => {
  try {
    woken(payload);
  } catch (error) {
    onError?.(error);
  }
};
