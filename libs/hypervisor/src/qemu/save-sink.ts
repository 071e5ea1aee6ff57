import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { HypervisorError } from '../errors.ts';

type Written = { readonly bytes: number } | { readonly failed: HypervisorError };

/**
 * A unix socket that takes one stream and writes it to a file. Not `exec:cat`: that has a shell and a path in it, outlives a killed host
 * agent, and QEMU reports `completed` though the writer failed. Here the stream breaks with this process, and a failure to write is seen.
 */
export class SaveSink {
  readonly address: string;
  private readonly server: Server;
  private stream: Socket | undefined;
  private closed = false;
  private readonly done = Promise.withResolvers<Written>();

  private constructor(
    private readonly path: string,
    private readonly file: string,
    private readonly maxBytes: number,
  ) {
    this.address = `unix:${path}`;
    this.server = createServer((socket) => this.take(socket));
  }

  static async open(path: string, file: string, maxBytes: number): Promise<SaveSink> {
    await rm(path, { force: true }); // of an earlier life
    const sink = new SaveSink(path, file, maxBytes);
    await new Promise<void>((resolve, reject) => sink.server.once('error', reject).listen(path, resolve));
    return sink;
  }

  /** Bytes, when the stream is at its end and all of it is written. */
  async written(withinMs: number): Promise<number> {
    const late = sleep(withinMs, undefined, { ref: false }).then(() => ({ failed: failed('the stream does not end') }));
    const end = await Promise.race([this.done.promise, late]);
    if ('failed' in end) throw end.failed;
    return end.bytes;
  }

  /** Why it could not be written, if that is why the stream broke. */
  async failure(): Promise<HypervisorError | undefined> {
    if (!this.stream) return undefined;
    this.stream.destroy();
    const end = await this.done.promise;
    return 'failed' in end && end.failed.code === 'hypervisor.save_failed' ? end.failed : undefined;
  }

  /** Breaks a stream that is not at its end. */
  close(): void {
    this.closed = true;
    this.server.close();
    this.stream?.destroy();
    void rm(this.path, { force: true });
  }

  private take(socket: Socket): void {
    if (this.stream || this.closed) return void socket.destroy();
    this.stream = socket;
    this.write(socket).then(
      (bytes) => this.done.resolve({ bytes }),
      (error: NodeJS.ErrnoException) => this.done.resolve({ failed: this.reason(error) }),
    );
  }

  private async write(socket: Socket): Promise<number> {
    const { maxBytes } = this;
    let bytes = 0;
    const counted = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
      for await (const chunk of chunks) {
        bytes += chunk.length;
        if (bytes > maxBytes) throw failed(`more than ${maxBytes} bytes came: the guest writes its memory faster than it is saved`);
        yield chunk;
      }
    };
    await pipeline(socket, counted, createWriteStream(this.file, { flags: 'wx', mode: 0o600, highWaterMark: 4 * 1024 * 1024 }));
    return bytes;
  }

  /** A stream that broke is QEMU's to explain; what the disk said is ours. */
  private reason(error: NodeJS.ErrnoException): HypervisorError {
    if (error instanceof HypervisorError) return error;
    const broke = ['ERR_STREAM_PREMATURE_CLOSE', 'ECONNRESET', 'ABORT_ERR'].includes(error.code ?? '');
    return broke ? new HypervisorError('hypervisor.migration_failed', 'The stream broke') : failed(error.message);
  }
}

const failed = (why: string): HypervisorError =>
  new HypervisorError('hypervisor.save_failed', `The save file could not be written: ${why}`);
