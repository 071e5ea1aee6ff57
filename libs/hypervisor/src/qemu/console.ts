import { readFileSync } from 'node:fs';
import { appendFile, rename, writeFile } from 'node:fs/promises';
import { createConnection, type Socket } from 'node:net';
import { CONSOLE_BYTES, ConsoleRing, type ConsolePiece, type GuestConsole } from '../console.ts';
import { hasCode, HypervisorError } from '../errors.ts';
import type { QmpClient } from '../qmp.ts';
import { serialChardev } from './command-line.ts';
import type { VmFiles } from './state.ts';

const CHARDEV = 'console';
/** So much a second is taken of a guest; one that writes more waits, as on a wire. Its log costs the host's disk half as much again. */
const MAX_BYTES_A_SECOND = 262_144;
const PATIENCE_MS = 1_000;
const away = Buffer.from('\r\n[chrysalis: the host agent was away; what the guest wrote meanwhile is not here]\r\n');

/**
 * The console of a VM of QEMU: a socket that this process holds, so that nothing is lost when a guest goes off. What comes is in memory
 * and, soon after, in `console.log`: both bounded, as a guest must not fill its host. While no process holds it QEMU keeps what comes in
 * a ring of its own (`release`); one that was killed could not ask for that, and its next life says so in the log.
 */
export class QemuConsole implements GuestConsole {
  readonly #ring = new ConsoleRing();
  readonly #files: VmFiles;
  #socket: Socket | undefined;
  #taken = 0;
  readonly #unwritten: Buffer[] = [];
  #inFile: number;
  /** The file does not end as the log begins. */
  #whole = false;
  #writing: Promise<void> | undefined;

  constructor(files: VmFiles) {
    this.#files = files;
    const before = readIfThere(files.console);
    this.#inFile = before.length;
    this.#ring.prepend(before); // of an earlier life: what is written in this one begins at 0
  }

  get start(): number {
    return this.#ring.start;
  }
  get end(): number {
    return this.#ring.end;
  }
  read(from: number, max: number): ConsolePiece {
    return this.#ring.read(from, max);
  }
  listen(listener: (over: boolean) => void): () => void {
    return this.#ring.listen(listener);
  }

  /** Before a VM's first instruction. */
  async begin(qmp: QmpClient): Promise<void> {
    await this.#connect(qmp);
  }

  /** Of a VM that ran before this process did. One that an agent of before started has its ring from the beginning. */
  async takeOver(qmp: QmpClient): Promise<void> {
    if (await this.#fromRing(qmp)) {
      const backend = serialChardev(this.#files.socket(CHARDEV));
      await qmp.execute('chardev-change', { id: CHARDEV, backend });
    } else this.#take(away);
    await this.#connect(qmp);
  }

  /** QEMU keeps what comes from now on, until the next takes over. */
  async release(qmp: QmpClient | undefined): Promise<void> {
    this.#socket?.destroy();
    this.#socket = undefined;
    const backend = { type: 'ringbuf', data: { size: CONSOLE_BYTES } };
    await qmp?.execute('chardev-change', { id: CHARDEV, backend }, PATIENCE_MS).catch(() => undefined);
    await this.written();
  }

  /** The VM is no more here. */
  async over(): Promise<void> {
    this.#socket?.destroy();
    this.#ring.over();
    await this.#writing;
  }

  type(bytes: Buffer): Promise<void> {
    const socket = this.#socket;
    const off = new HypervisorError('hypervisor.no_console', 'Nobody is at the other end of this console: is the VM off?');
    if (!socket?.writable) return Promise.reject(off);
    return new Promise((done, fail) => {
      // A socket that closes under it may not call back at all.
      const gone = (): void => fail(off);
      socket.once('close', gone);
      socket.write(bytes, (error) => (socket.off('close', gone), error ? fail(off) : done()));
    });
  }

  async continueFrom(move: string, before: Buffer): Promise<void> {
    const mark = `${this.#files.console}.came-by`;
    if (readIfThere(mark).toString() === move) return;
    this.#ring.prepend(before);
    this.#whole = true;
    this.#writes();
    await this.written();
    await writeFile(mark, move, { mode: 0o600 });
  }

  /** All that has come is in the file. */
  async written(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  async #fromRing(qmp: QmpClient): Promise<boolean> {
    try {
      const fresh = await qmp.execute<string>('ringbuf-read', { device: CHARDEV, size: CONSOLE_BYTES, format: 'base64' });
      this.#take(Buffer.from(fresh, 'base64'));
      return true;
    } catch (error) {
      if (hasCode(error, 'hypervisor.qmp_refused')) return false; // it is a socket
      throw error;
    }
  }

  async #connect(qmp: QmpClient): Promise<void> {
    this.#socket?.destroy();
    const socket = createConnection(this.#files.socket(CHARDEV));
    await new Promise<void>((done, fail) => socket.once('connect', done).once('error', fail));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#socket === socket && (this.#socket = undefined));
    socket.on('data', (bytes: Buffer) => {
      this.#take(bytes);
      this.#pace(socket, bytes.length);
    });
    this.#socket = socket;
    // QEMU takes a connection when its main loop comes by; what a guest writes before that goes nowhere.
    for (let i = 0; i < 200 && (await isWaiting(qmp)); i++);
  }

  /** Not read, the socket fills, and QEMU holds the guest's port: it is slow then, and never more than that. */
  #pace(socket: Socket, bytes: number): void {
    if (this.#taken === 0) setTimeout(() => ((this.#taken = 0), socket.resume()), 1_000).unref();
    this.#taken += bytes;
    if (this.#taken > MAX_BYTES_A_SECOND) socket.pause();
  }

  #take(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#ring.add(bytes);
    this.#unwritten.push(bytes);
    this.#writes();
  }

  #writes(): void {
    this.#writing ??= this.#write().finally(() => (this.#writing = undefined));
  }

  /** What comes while a piece is written goes with the next. A log that cannot be written is in memory still, and no reason to end anything. */
  async #write(): Promise<void> {
    while (this.#unwritten.length > 0 || this.#whole) {
      const piece = Buffer.concat(this.#unwritten.splice(0));
      this.#inFile += piece.length;
      if (this.#whole || this.#inFile > 2 * CONSOLE_BYTES) await this.#rewrite();
      else await appendFile(this.#files.console, piece, { mode: 0o600 }).catch(() => undefined);
    }
  }

  async #rewrite(): Promise<void> {
    this.#whole = false;
    const { kept } = this.#ring;
    this.#inFile = kept.length;
    const fresh = `${this.#files.console}.new`;
    await writeFile(fresh, kept, { mode: 0o600 }).then(() => rename(fresh, this.#files.console)).catch(() => undefined); // prettier-ignore
  }
}

const readIfThere = (file: string): Buffer => {
  try {
    return readFileSync(file);
  } catch {
    return Buffer.alloc(0);
  }
};

const isWaiting = async (qmp: QmpClient): Promise<boolean> => {
  const ends = await qmp.execute<{ label: string; filename: string }[]>('query-chardev');
  return ends.find((e) => e.label === CHARDEV)?.filename.startsWith('disconnected:') === true;
};
