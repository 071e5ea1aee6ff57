import { constants } from 'node:fs';
import { open, readdir, readFile, type FileHandle } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** While no host is connected a read returns 0 at once: look again after this. With a host connected, reads block and cost nothing. */
const AWAY_MS = 5;
const MAX_QUEUED_BYTES = 4 << 20;

/** A virtio-serial port by its name; udev's links are not needed. */
const findPort = async (name: string, sys = '/sys/class/virtio-ports'): Promise<string | undefined> => {
  for (const device of await readdir(sys).catch(() => [])) {
    const text = await readFile(`${sys}/${device}/name`, 'utf8').catch(() => '');
    if (text.trim() === name) return `/dev/${device}`;
  }
  return undefined;
};

export class SerialPort {
  private readonly queue: Buffer[] = [];
  private queued = 0;
  private writing = false;
  private readonly file: FileHandle;
  private constructor(file: FileHandle) {
    this.file = file;
  }

  /** The port has one user at a time: a predecessor may still be leaving. */
  static async open(name: string, deadlineMs: number): Promise<SerialPort> {
    const until = performance.now() + deadlineMs;
    for (;;) {
      const path = await findPort(name);
      const file = path && (await open(path, constants.O_RDWR).catch(() => undefined));
      if (file) return new SerialPort(file);
      if (performance.now() > until) throw new Error(`cannot open the port ${name} (${path ?? 'not found'})`);
      await sleep(5);
    }
  }

  /** Ends only when the port is taken away. */
  async read(receive: (chunk: Buffer) => void): Promise<void> {
    for (;;) {
      const buffer = Buffer.allocUnsafe(65_536);
      const { bytesRead } = await this.file.read(buffer, 0, buffer.length, null);
      if (bytesRead > 0) receive(buffer.subarray(0, bytesRead));
      else await sleep(AWAY_MS);
    }
  }

  /** A host that does not read holds the writes back: beyond 4 MiB frames are dropped, and said again later. */
  write(frame: Buffer): void {
    if (this.queued + frame.length > MAX_QUEUED_BYTES) return;
    this.queue.push(frame);
    this.queued += frame.length;
    if (!this.writing) void this.drain();
  }

  private async drain(): Promise<void> {
    this.writing = true;
    while (this.queue.length > 0) {
      const batch = Buffer.concat(this.queue.splice(0));
      this.queued = 0;
      for (let at = 0; at < batch.length;) {
        const written = await this.file.write(batch, at, batch.length - at, null).then(
          (w) => w.bytesWritten,
          () => 0,
        );
        if (written === 0) break; // nobody at the other end, or the port is gone: the rest is said again
        at += written;
      }
    }
    this.writing = false;
  }
}
