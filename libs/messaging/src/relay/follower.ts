import type { EventRow, StoredEvent } from '@chrysalis/event-store';
import { LogicalReplicationService, PgoutputPlugin } from 'pg-logical-replication';
import { Pause } from '../pause.ts';
import { catchUp, toStored } from './catch-up.ts';
import { lsnNumber, lsnText } from './lsn.ts';
import { publish, type Lead } from './publisher.ts';
import { publicationName } from './slot.ts';
import type { RelayState } from './types.ts';

/** Events waiting to be published; above this the server is made to wait. */
const mostPending = 5_000;
/**
 * The server asks after every commit of anybody where we are, once for each slot; saying so at once was a third of what this process wrote
 * to its sockets. What it does not know yet of our progress only comes again after a crash. Its patience is a minute.
 */
const sayEveryMs = 100;

type Change = { readonly tag: string; readonly new?: EventRow; readonly commitEndLsn?: string };
type Commit = { readonly events: StoredEvent[]; readonly endLsn: string };

/** The stream of PostgreSQL's log, and what of it is in hand between the server and the bus. */
export class Follower {
  readonly #service: LogicalReplicationService;
  readonly #ready = new Pause();
  readonly #queue: Commit[] = [];
  #open: StoredEvent[] | undefined;
  #drained: (() => void) | undefined;
  #fault: Error | undefined;
  #stopped = false;
  #done = 0n;
  #publications = 0;
  #flushed = 0;
  #saying: NodeJS.Timeout | undefined;

  constructor(
    private readonly state: RelayState,
    private readonly lead: Lead,
    private readonly slot: string,
  ) {
    state.pending = 0;
    this.#service = new LogicalReplicationService(state.connection, {
      acknowledge: { auto: false, timeoutSeconds: 0 },
      flowControl: { enabled: true },
    });
    this.#service.on('data', (_lsn: string, change: Change) => this.#change(change));
    // Not at once: the library queues changes and lets heartbeats through, which then come before the changes that they follow.
    this.#service.on('heartbeat', (lsn: string, _time: number, shouldRespond: boolean) => {
      setImmediate(() => this.#heartbeat(lsn, shouldRespond));
    });
    this.#service.on('error', (error: Error) => this.fail(error));
  }

  get stopped(): boolean {
    return this.#stopped || this.lead.lost();
  }

  /** All of the log before this is published. */
  get done(): bigint {
    return this.#done;
  }

  cut(): void {
    this.#stopped = true;
    this.#ready.cut();
    this.#drained?.();
  }

  fail(error: Error): void {
    this.#fault ??= error;
    this.#ready.cut();
  }

  wake(): void {
    this.#ready.cut();
  }

  async run(): Promise<void> {
    const plugin = new PgoutputPlugin({ protoVersion: 1, publicationNames: [publicationName(this.state.options.schema)] });
    const ended = this.#service
      .subscribe(plugin, this.slot)
      .then(() => this.fail(new Error('the replication stream ended')))
      .catch((error: Error) => this.fail(error));
    const begun = new Promise<void>((resolve) => {
      this.#service.once('start', () => {
        this.state.faults.delete('lead');
        resolve();
      });
    });
    try {
      while (!this.stopped) {
        if (this.#fault) throw this.#fault;
        if (this.state.replay) await catchUp(this.state, this.lead);
        else if (this.#queue.length > 0) await this.#publishNext();
        else await this.#ready.wait(1_000);
      }
    } finally {
      clearTimeout(this.#saying);
      // Destroyed before it has begun it would connect all the same, and hold the slot with nobody listening.
      await Promise.race([begun, ended]);
      if (!this.#fault) await this.#say().catch(() => undefined);
      await this.#service.destroy().catch(() => undefined);
      this.#service.on('error', () => undefined);
    }
  }

  async #publishNext(): Promise<void> {
    const { batch = 500 } = this.state.options;
    const commits: Commit[] = [];
    for (let size = 0; this.#queue.length > 0 && size < batch; size += commits.at(-1)!.events.length) commits.push(this.#queue.shift()!);
    const events = commits.flatMap((commit) => commit.events);
    const outcome = await publish(this.state, events, this.lead);
    // What is in hand is committed, so it is part of the replay; it may be acknowledged after it.
    if (outcome === 'lost' || (outcome === 'replay' && !(await catchUp(this.state, this.lead)))) return;
    this.#publications++;
    this.state.pending -= events.length;
    if (this.state.pending < mostPending) this.#drained?.();
    this.#acknowledge(commits.at(-1)!.endLsn);
  }

  #acknowledge(lsn: string): void {
    this.#done = lsnNumber(lsn);
    this.#saySoon();
  }

  #saySoon(): void {
    this.#saying ??= setTimeout(() => {
      this.#saying = undefined;
      this.#say().catch((error: Error) => this.fail(error));
    }, sayEveryMs);
  }

  /**
   * The protocol asks for the next byte that we want, which `done` is. The library is told the last one that we have, and adds 1: told
   * `done`, it asked for the byte after, and the server left out a commit that begins right there. Said only when the bus would still
   * have it after a crash, as PostgreSQL may write what we say to its disk at once.
   */
  async #say(): Promise<void> {
    const done = this.#done;
    if (done === 0n) return;
    const publications = this.#publications;
    if (this.#flushed < publications) {
      await this.state.options.bus.flush();
      this.#flushed = Math.max(this.#flushed, publications);
    }
    await this.#service.acknowledge(lsnText(done - 1n));
  }

  #change(change: Change): Promise<void> | void {
    if (change.tag === 'begin') this.#open = [];
    if (change.tag === 'insert' && change.new) this.#open?.push(toStored(change.new, this.state));
    if (change.tag !== 'commit') return;
    const events = this.#open ?? [];
    this.#open = undefined;
    if (events.length === 0) return;
    this.#queue.push({ events, endLsn: change.commitEndLsn! });
    this.state.pending += events.length;
    this.#ready.cut();
    if (this.state.pending >= mostPending) return new Promise((resolve) => (this.#drained = resolve));
  }

  /** With nothing in hand, all up to here is dealt with: the slot moves on over other schemas' work. */
  #heartbeat(lsn: string, shouldRespond: boolean): void {
    if (this.#fault || this.#stopped) return;
    const idle = this.state.pending === 0 && this.#open === undefined && !this.state.replay;
    if (idle) this.#acknowledge(lsn);
    else if (shouldRespond) this.#saySoon();
  }
}
