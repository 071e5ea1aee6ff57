/** What is kept of what a guest wrote to its serial console, at least. */
export const CONSOLE_BYTES = 65_536;

/** A piece of it. `from` is above what was asked for where that is not kept any more. */
export type ConsolePiece = { readonly from: number; readonly bytes: Buffer };

/** Read by place, so that nobody who reads slowly makes it hold more: such a reader is told what it missed. */
export interface ConsoleLog {
  /** Places of its first byte that is kept, and behind its last. They rise for as long as the driver lives; 0 is where its life began. */
  readonly start: number;
  readonly end: number;
  read(from: number, max: number): ConsolePiece;
  /** There is more to read, or (`over`) the VM is no more on this host. Answers how to stop. */
  listen(listener: (over: boolean) => void): () => void;
}

/** The serial console of a VM: what its guest wrote, kept over its starts and over those of the driver, and the way to type. */
export interface GuestConsole extends ConsoleLog {
  /** Resolves when the hypervisor took it: a guest that does not read holds its writer up. `hypervisor.no_console` where the VM is off. */
  type(bytes: Buffer): Promise<void>;
  /** Puts what it wrote on another host before what it wrote here. Once for each `move`, however often it is said. */
  continueFrom(move: string, before: Buffer): Promise<void>;
}

/** The last of a stream of bytes, in memory that does not grow with it. */
export class ConsoleRing implements ConsoleLog {
  #buffer = Buffer.alloc(1_024);
  #used = 0;
  #end = 0;
  readonly #listeners = new Set<(over: boolean) => void>();

  get start(): number {
    return this.#end - this.#used;
  }
  get end(): number {
    return this.#end;
  }

  /** What it holds, at most `CONSOLE_BYTES`. */
  get kept(): Buffer {
    return this.read(this.#end - CONSOLE_BYTES, CONSOLE_BYTES).bytes;
  }

  read(from: number, max: number): ConsolePiece {
    const at = Math.min(Math.max(from, this.start), this.#end);
    const offset = at - this.start;
    return { from: at, bytes: Buffer.from(this.#buffer.subarray(offset, Math.min(this.#used, offset + max))) };
  }

  add(bytes: Buffer): void {
    this.#end += bytes.length;
    const last = bytes.subarray(Math.max(0, bytes.length - CONSOLE_BYTES));
    if (last.length < bytes.length) this.#used = 0;
    this.#room(last.length);
    last.copy(this.#buffer, this.#used);
    this.#used += last.length;
    this.#tell(false);
  }

  /** What came before all that is here; the places of what is here stay. */
  prepend(bytes: Buffer): void {
    const all = Buffer.concat([bytes, this.kept]);
    const kept = all.subarray(Math.max(0, all.length - CONSOLE_BYTES));
    this.#used = 0;
    this.#room(kept.length);
    kept.copy(this.#buffer);
    this.#used = kept.length;
  }

  over(): void {
    this.#tell(true);
    this.#listeners.clear();
  }

  listen(listener: (over: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Twice what is kept, so that the oldest half is moved out of the way once for each 64 KiB and not for each byte. */
  #room(bytes: number): void {
    if (this.#used + bytes <= this.#buffer.length) return;
    if (this.#used + bytes > 2 * CONSOLE_BYTES) {
      this.#buffer.copyWithin(0, this.#used - CONSOLE_BYTES, this.#used);
      this.#used = CONSOLE_BYTES;
    }
    if (this.#used + bytes <= this.#buffer.length) return;
    const larger = Buffer.alloc(Math.min(2 * CONSOLE_BYTES, Math.max(2 * this.#buffer.length, this.#used + bytes)));
    this.#buffer.copy(larger, 0, 0, this.#used);
    this.#buffer = larger;
  }

  #tell(over: boolean): void {
    for (const listener of [...this.#listeners]) listener(over);
  }
}
