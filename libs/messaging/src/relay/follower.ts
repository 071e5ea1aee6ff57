import type { EventRow, StoredEvent } from '@chrysalis/event-store';
import { Pause } from '../pause.ts';
import type { Serial } from '../serial.ts';
import { catchUp, toStored } from './catch-up.ts';
import type { LogStream } from './log-stream.ts';
import { LogStreams } from './log-streams.ts';
import { lsnNumber } from './lsn.ts';
import { publish, type Lead } from './publisher.ts';
import type { Slot } from './slot.ts';
import type { RelayState } from './types.ts';

/** Events waiting to be published; above this the server is made to wait. */
const mostPending = 5_000;

type Commit = { readonly events: StoredEvent[]; readonly endLsn: bigint };

export type FollowerOptions = {
  readonly state: RelayState;
  readonly lead: Lead;
  readonly slot: Slot;
  readonly query: Serial;
  /** Each transaction below was published before this one began: the checkpoint's. A slot may be further behind. */
  readonly before: bigint;
};

/** What of PostgreSQL's log is a schema's, in hand between the server and the bus. */
export class Follower {
  readonly #ready = new Pause();
  readonly #queue: Commit[] = [];
  #stream: LogStream | undefined;
  #drained: (() => void) | undefined;
  #fault: Error | undefined;
  #stopped = false;
  #done = 0n;
  /** The end of what was taken last: another stream may begin before it. */
  #taken = 0n;
  #publications = 0;
  #flushed = 0;

  constructor(private readonly o: FollowerOptions) {
    o.state.pending = 0;
  }

  get schema(): string {
    return this.o.state.options.schema;
  }

  get query(): Serial {
    return this.o.query;
  }

  get slot(): string {
    return this.o.slot.name;
  }

  /** From here on there is something to follow. */
  get begin(): bigint {
    return this.o.slot.begin;
  }

  get stopped(): boolean {
    return this.#stopped || this.o.lead.lost();
  }

  /** All of the log before this is published. */
  get done(): bigint {
    return this.#done;
  }

  /** Nothing is wrong, and it keeps up. */
  get calm(): boolean {
    return !this.stopped && !this.#fault && !this.o.state.replay && this.#done > 0n && this.o.state.pending < mostPending / 2;
  }

  /** It follows another schema's slot: the server hears only by SQL how far this one came. */
  get shares(): boolean {
    return this.#stream !== undefined && this.#stream.owner !== this;
  }

  cut(): void {
    this.#stopped = true;
    this.#ready.cut();
    this.#drained?.();
  }

  fail(error: Error): void {
    this.#fault ??= error;
    this.#ready.cut();
    this.#drained?.();
  }

  wake(): void {
    this.#ready.cut();
  }

  follow(stream: LogStream): void {
    this.#stream = stream;
  }

  begun(): void {
    this.o.state.faults.delete('lead');
  }

  async run(): Promise<void> {
    const streams = LogStreams.of(this.o.state.connection);
    await streams.join(this);
    try {
      while (!this.stopped) {
        if (this.#fault) throw this.#fault;
        if (this.o.state.replay) await catchUp(this.o.state, this.o.lead);
        else if (this.#queue.length > 0) await this.#publishNext();
        else await this.#ready.wait(1_000);
      }
    } finally {
      this.cut();
      await streams.leave(this);
    }
  }

  async #publishNext(): Promise<void> {
    const { batch = 500 } = this.o.state.options;
    const commits: Commit[] = [];
    for (let size = 0; this.#queue.length > 0 && size < batch; size += commits.at(-1)!.events.length) commits.push(this.#queue.shift()!);
    const events = commits.flatMap((commit) => commit.events);
    const outcome = await publish(this.o.state, events, this.o.lead);
    // What is in hand is committed, so it is part of the replay; it may be acknowledged after it.
    if (outcome === 'lost' || (outcome === 'replay' && !(await catchUp(this.o.state, this.o.lead)))) return;
    this.#publications++;
    this.o.state.pending -= events.length;
    if (this.o.state.pending < mostPending) this.#drained?.();
    this.#acknowledge(commits.at(-1)!.endLsn);
  }

  /** Never back: a stream that was begun anew tells of places that are past. */
  #acknowledge(lsn: bigint): void {
    if (lsn <= this.#done) return;
    this.#done = lsn;
    this.#stream?.moved(this);
  }

  /** `done`, once the bus would still have all before it after a crash, as PostgreSQL may write what it is told to its disk at once. */
  async kept(): Promise<bigint> {
    const done = this.#done;
    const publications = this.#publications;
    if (done > 0n && this.#flushed < publications) {
      await this.o.state.options.bus.flush();
      this.#flushed = Math.max(this.#flushed, publications);
    }
    return done;
  }

  /** The rows of one commit. Resolves when there is room for more; at once where there is. */
  take(rows: readonly EventRow[], end: string): Promise<void> | undefined {
    const endLsn = lsnNumber(end);
    if (this.#stopped || this.#fault || endLsn <= this.#taken || endLsn <= this.#done) return undefined;
    this.#taken = endLsn;
    const events = this.#unknown(rows, endLsn).map((row) => toStored(row, this.o.state));
    if (events.length === 0) return undefined;
    this.#queue.push({ events, endLsn });
    this.o.state.pending += events.length;
    this.#ready.cut();
    return this.o.state.pending < mostPending ? undefined : new Promise((resolve) => (this.#drained = resolve));
  }

  /** A row's transaction is never below the one that wrote it: see sql/append.ts of the event store. */
  #unknown(rows: readonly EventRow[], endLsn: bigint): readonly EventRow[] {
    const { before, slot } = this.o;
    return endLsn > slot.end ? rows : rows.filter((row) => BigInt(row.transaction_id) >= before);
  }

  /** With nothing in hand, all up to here is dealt with: the slot moves on over other schemas' work. */
  heartbeat(lsn: string): void {
    if (this.#fault || this.#stopped || this.o.state.pending > 0 || this.o.state.replay) return;
    this.#acknowledge(lsnNumber(lsn));
  }
}
