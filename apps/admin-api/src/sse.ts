import { once } from 'node:events';
import type { FastifyReply } from 'fastify';

/** A Server-Sent Events stream. `signal` aborts when the reader is gone. */
export class SseStream {
  readonly #gone = new AbortController();
  readonly #beat: NodeJS.Timeout;

  constructor(private readonly reply: FastifyReply) {
    reply.hijack();
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' });
    reply.raw.write('retry: 1000\n\n');
    reply.raw.on('close', () => this.#gone.abort());
    // Comments keep proxies from closing a quiet stream, and find readers that went without a word.
    this.#beat = setInterval(() => reply.raw.write(': still here\n\n'), 15_000);
    this.#gone.signal.addEventListener('abort', () => clearInterval(this.#beat));
  }

  get signal(): AbortSignal {
    return this.#gone.signal;
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
}
