import type { Serial } from '../serial.ts';
import * as sql from './sql.ts';

/** Offsets are kept in the background, at most this often: what comes again after a crash, consumers know. */
const everyMs = 100;

/** Where a reader is; `kept` is called with what was written. */
export type Place = {
  readonly group: string;
  readonly topic: string;
  readonly partition: number;
  readonly bus: string | undefined;
  readonly next: bigint;
  readonly kept: (next: bigint) => void;
};
type Placed = { place(): Place | undefined };

/** How far the readers of a process are, in one statement for all of them. */
export class Offsets {
  readonly #moved = new Set<Placed>();
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly query: () => Serial | undefined) {}

  moved(reader: Placed): void {
    this.#moved.add(reader);
    this.#timer ??= setTimeout(() => void this.#keep(), everyMs);
  }

  forget(reader: Placed): void {
    this.#moved.delete(reader);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  /** What could not be written is written with the next, or the next member has it again. */
  async #keep(): Promise<void> {
    const readers = [...this.#moved];
    const places = readers.flatMap((reader) => reader.place() ?? []);
    this.#moved.clear();
    try {
      const query = this.query();
      if (!query) throw new Error('the connection is lost');
      if (places.length > 0) await query(sql.commitAll, columns(places));
      for (const { kept, next } of places) kept(next);
    } catch {
      for (const reader of readers) this.#moved.add(reader);
    } finally {
      this.#timer = this.#moved.size > 0 ? setTimeout(() => void this.#keep(), everyMs) : undefined;
    }
  }
}

const columns = (places: readonly Place[]): unknown[][] => [
  places.map((p) => p.group),
  places.map((p) => p.topic),
  places.map((p) => p.partition),
  places.map((p) => p.next),
  places.map((p) => p.bus),
];
