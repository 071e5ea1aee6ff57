import { once } from 'node:events';
import type { ApiRequest, ServiceContext } from '@chrysalis/service-kit';
import type { FastifyReply } from 'fastify';

const BEAT_MS = 15_000;
/** A reader that takes nothing for so many beats is cut off: it comes back for the rest, and holds nothing meanwhile. */
const BEATS_UNREAD = 4;

/**
 * A Server-Sent Events stream. It ends, so that its reader comes back with `Last-Event-ID`, when what feeds it fails, when the reader
 * stopped taking, and when the token that it was opened with is over. `signal` aborts when it has ended.
 */
export class SseStream {
  readonly #gone = new AbortController();
  #unread = 0;

  constructor(
    private readonly reply: FastifyReply,
    expiresAt: number,
  ) {
    reply.hijack();
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' });
    reply.raw.write('retry: 1000\n\n');
    reply.raw.on('close', () => this.#gone.abort());
    const beat = setInterval(() => this.#beat(), BEAT_MS);
    // Longer than a timer can wait is longer than any token lives.
    const over = setTimeout(() => this.end(), Math.min(Math.max(0, expiresAt - Date.now()), 2 ** 31 - 1));
    this.#gone.signal.addEventListener('abort', () => (clearInterval(beat), clearTimeout(over)));
  }

  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  /** Resolves when it has ended, whoever ended it. */
  get ended(): Promise<void> {
    return new Promise((done) => {
      if (this.signal.aborted) done();
      else this.signal.addEventListener('abort', () => done(), { once: true });
    });
  }

  /** What the reader was sent and has not taken yet fills the buffers. */
  get isBehind(): boolean {
    return this.reply.raw.writableNeedDrain;
  }

  /** Waits for a slow reader: a stream holds one event in memory, not all of them. */
  async send(event: string, data: unknown, id?: string): Promise<void> {
    if (this.signal.aborted) return;
    const text = `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
    if (!this.reply.raw.write(text)) await once(this.reply.raw, 'drain', { signal: this.signal }).catch(() => undefined);
  }

  end(): void {
    this.#gone.abort();
    this.reply.raw.end();
  }

  /** Comments keep proxies from closing a quiet stream, and find readers that went without a word. */
  #beat(): void {
    this.#unread = this.isBehind ? this.#unread + 1 : 0;
    if (this.#unread >= BEATS_UNREAD) return void this.reply.raw.destroy();
    if (!this.isBehind) this.reply.raw.write(': still here\n\n');
  }
}

/** Feeds a stream until the work is done. Work that fails ends the stream and no more: its reader comes back, and is told then what is wrong. */
export const streamed = async (
  reply: FastifyReply,
  { caller }: Pick<ApiRequest, 'caller'>,
  log: ServiceContext['log'],
  work: (stream: SseStream) => Promise<void>,
): Promise<void> => {
  const stream = new SseStream(reply, caller.expiresAt ?? Infinity);
  try {
    await work(stream);
  } catch (err) {
    log.warn({ err }, 'a stream could not go on');
  } finally {
    stream.end();
  }
};
