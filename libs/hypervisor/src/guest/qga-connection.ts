import type { Duplex } from 'node:stream';
import type { Code } from '@chrysalis/contracts';
import { z } from 'zod';

export type QgaCode = Extract<Code, `qga.${string}`>;
export class QgaError extends Error {
  override readonly name = 'QgaError';
  readonly code: QgaCode;
  readonly detail: unknown;
  constructor(code: QgaCode, message: string, detail?: unknown) {
    super(message);
    this.code = code;
    this.detail = detail;
  }
}

/** Whatever comes from a guest is bounded: `guest-exec-status` of 1 MiB of output is the longest answer we wait for. */
const MAX_ANSWER_BYTES = 4 << 20;
const Answer = z.object({ return: z.unknown().optional(), error: z.object({ class: z.string().optional(), desc: z.string() }).optional() });

/**
 * A line to the guest's own agent (qemu-ga). One request at a time, because its answers carry no id; after each (re)connection and
 * each answer that did not come in time `guest-sync-delimited` finds the beginning again.
 */
export class QgaConnection {
  private buffer = Buffer.alloc(0);
  private wake: (() => void) | undefined;
  private gone = false;
  private synced = false;
  private tail: Promise<unknown> = Promise.resolve();
  private readonly stream: Duplex;

  constructor(stream: Duplex) {
    this.stream = stream;
    stream.on('data', (chunk: Buffer) => {
      this.buffer = Buffer.concat([this.buffer, chunk]);
      if (this.buffer.length > MAX_ANSWER_BYTES) this.stream.destroy();
      this.wake?.();
    });
    stream.on('error', () => undefined);
    stream.on('close', () => {
      this.gone = true;
      this.wake?.();
    });
  }

  close(): void {
    this.stream.destroy();
  }
  get isClosed(): boolean {
    return this.gone;
  }

  /** Retries the handshake until the guest's agent answers: it may not have started yet. */
  async sync(timeoutMs = 5_000): Promise<void> {
    await this.alone(() => this.handshake(performance.now() + timeoutMs));
  }

  /** Parsed by `schema`; anything else the guest says is `qga.nonsense`. */
  async call<S extends z.ZodType>(command: string, schema: S, args?: Record<string, unknown>, timeoutMs = 5_000): Promise<z.infer<S>> {
    return this.alone(async () => {
      const until = performance.now() + timeoutMs;
      if (!this.synced) await this.handshake(until);
      this.send({ execute: command, ...(args ? { arguments: args } : {}) });
      const answer = Answer.safeParse(await this.answer(until, command));
      if (!answer.success) return this.nonsense(command);
      const { error } = answer.data;
      if (error) throw new QgaError('qga.refused', `${command}: ${error.desc.slice(0, 512)}`, { class: error.class });
      const value = schema.safeParse(answer.data.return);
      return value.success ? value.data : this.nonsense(command);
    });
  }

  private alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.tail.then(work, work);
    this.tail = result.catch(() => undefined);
    return result;
  }

  /** Older answers may still come: everything up to the last 0xFF goes, and so does what is not the answer to our number. */
  private async handshake(until: number): Promise<void> {
    while (!this.synced) {
      const id = Math.floor(Math.random() * 2 ** 31);
      this.buffer = Buffer.alloc(0);
      this.stream.write(
        Buffer.concat([Buffer.of(0xff), Buffer.from(`${JSON.stringify({ execute: 'guest-sync-delimited', arguments: { id } })}\n`)]),
      );
      this.synced = await this.ownNumber(id, Math.min(until, performance.now() + 500));
      if (!this.synced && performance.now() > until) throw new QgaError('qga.timeout', "the guest's agent does not answer");
    }
  }

  private async ownNumber(id: number, until: number): Promise<boolean> {
    for (;;) {
      const marked = this.buffer.lastIndexOf(0xff);
      if (marked > 0) this.buffer = this.buffer.subarray(marked);
      const line = marked >= 0 ? this.line() : undefined;
      if (line === undefined) {
        if (!(await this.more(until))) return false;
      } else if (parse(line.replace(/^\uFFFD+/, ''))?.['return'] === id) return true;
    }
  }

  private async answer(until: number, command: string): Promise<unknown> {
    for (;;) {
      const line = this.line();
      if (line !== undefined) return parse(line);
      if (await this.more(until)) continue;
      this.synced = false; // its answer may come later, in the place of another
      throw new QgaError('qga.timeout', `no answer to ${command}`);
    }
  }

  private line(): string | undefined {
    const end = this.buffer.indexOf(0x0a);
    if (end < 0) return undefined;
    const line = this.buffer.toString('utf8', 0, end);
    this.buffer = this.buffer.subarray(end + 1);
    return line;
  }

  private async more(until: number): Promise<boolean> {
    if (this.gone) throw new QgaError('qga.unreachable', "the connection to the guest's agent is closed");
    const left = until - performance.now();
    if (left <= 0) return false;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
      timer = setTimeout(resolve, left);
    });
    clearTimeout(timer);
    this.wake = undefined;
    return performance.now() < until || this.buffer.includes(0x0a);
  }

  private send(message: unknown): void {
    if (this.gone) throw new QgaError('qga.unreachable', "the connection to the guest's agent is closed");
    this.stream.write(`${JSON.stringify(message)}\n`);
  }

  private nonsense(command: string): never {
    this.synced = false;
    throw new QgaError('qga.nonsense', `what came for ${command} is not an answer to it`);
  }
}

const parse = (line: string): Record<string, unknown> | undefined => {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
};
