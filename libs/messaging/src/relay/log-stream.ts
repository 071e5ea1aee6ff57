import type { EventRow } from '@chrysalis/event-store';
import type pg from 'pg';
import { LogicalReplicationService, PgoutputPlugin } from 'pg-logical-replication';
import type { Follower } from './follower.ts';
import { lsnText } from './lsn.ts';
import { publicationName } from './slot.ts';

/**
 * The server asks after every commit of anybody where we are, once for each slot; saying so at once was a third of what this process wrote
 * to its sockets. What it does not know yet of our progress only comes again after a crash. Its patience is a minute.
 */
const sayEveryMs = 100;
/** Who cannot take any more for so long is not to hold up the others of its stream. */
const heldMs = 2_000;

type Change = {
  readonly tag: string;
  readonly relation?: { readonly schema: string };
  readonly new?: EventRow;
  readonly commitEndLsn?: string;
};

type StreamEvents = {
  readonly failed: (error: Error) => void;
  /** One of its followers has held it up for too long. */
  readonly held: () => void;
};

/**
 * The stream of PostgreSQL's log from one slot, for the schemas of one follower or several: the server decodes all of its log for each
 * stream, whoever's events there are in it. What a schema's own slot knows it knows only of its own stream; of another's it is told by
 * SQL (see watch-slot.ts).
 */
export class LogStream {
  readonly #service: LogicalReplicationService;
  readonly #members: Map<string, Follower>;
  #open: Map<Follower, EventRow[]> | undefined;
  /** A follower cannot take any more: the library queues changes and lets heartbeats through, which then tell nothing. */
  #held = false;
  #saying: NodeJS.Timeout | undefined;
  #stopped = false;
  #begun: Promise<unknown> = Promise.resolve();

  constructor(
    connection: pg.ClientConfig,
    /** Whose slot it is of: whoever is least far, so that it misses nothing of anybody. */
    readonly owner: Follower,
    members: readonly Follower[],
    private readonly on: StreamEvents,
  ) {
    this.#members = new Map(members.map((m) => [m.schema, m]));
    this.#service = new LogicalReplicationService(connection, {
      acknowledge: { auto: false, timeoutSeconds: 0 },
      flowControl: { enabled: true },
    });
    this.#service.on('data', (_lsn: string, change: Change) => this.#change(change));
    // Not at once: the library queues changes and lets heartbeats through, which then come before the changes that they follow.
    this.#service.on('heartbeat', (lsn: string, _time: number, shouldRespond: boolean) => {
      setImmediate(() => this.#heartbeat(lsn, shouldRespond));
    });
    this.#service.on('error', (error: Error) => this.#failed(error));
  }

  get members(): readonly Follower[] {
    return [...this.#members.values()];
  }

  start(): void {
    const publicationNames = [...this.#members.keys()].map(publicationName);
    const ended = this.#service
      .subscribe(new PgoutputPlugin({ protoVersion: 1, publicationNames }), this.owner.slot)
      .then(() => this.#failed(new Error('the replication stream ended')))
      .catch((error: Error) => this.#failed(error));
    const begun = new Promise<void>((resolve) => {
      this.#service.once('start', () => {
        for (const member of this.members) member.begun();
        resolve();
      });
    });
    this.#begun = Promise.race([begun, ended]);
  }

  /** It may go on without. The server sends its changes as before, and nobody takes them. */
  drop(member: Follower): void {
    if (this.#members.get(member.schema) === member) this.#members.delete(member.schema);
  }

  /** Says how far it came, and lets go of the slot. */
  async stop(): Promise<void> {
    const failed = this.#stopped;
    this.#stopped = true;
    clearTimeout(this.#saying);
    // Destroyed before it has begun it would connect all the same, and hold the slot with nobody listening.
    await this.#begun;
    if (!failed) await this.#say().catch(() => undefined);
    await this.#service.destroy().catch(() => undefined);
    this.#service.on('error', () => undefined);
  }

  /** This follower has come further. */
  moved(member: Follower): void {
    if (member === this.owner) this.#saySoon();
  }

  #failed(error: Error): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.on.failed(error);
  }

  #saySoon(): void {
    if (this.#stopped) return;
    this.#saying ??= setTimeout(() => {
      this.#saying = undefined;
      this.#say().catch((error: Error) => this.#failed(error));
    }, sayEveryMs);
  }

  /**
   * The protocol asks for the next byte that we want, which a follower's place is. The library is told the last one that we have, and adds
   * 1: told the place, it asked for the byte after, and the server left out a commit that begins right there.
   */
  async #say(): Promise<void> {
    const done = await this.owner.kept();
    if (done > 0n) await this.#service.acknowledge(lsnText(done - 1n));
  }

  #change(change: Change): Promise<void> | void {
    if (change.tag === 'begin') this.#open = new Map();
    if (change.tag === 'insert') this.#insert(change);
    if (change.tag === 'commit') return this.#commit(change.commitEndLsn!);
  }

  #insert({ relation, new: row }: Change): void {
    const member = this.#members.get(relation!.schema);
    if (!member || !row || !this.#open) return;
    const rows = this.#open.get(member);
    if (rows) rows.push(row);
    else this.#open.set(member, [row]);
  }

  #commit(endLsn: string): Promise<void> | void {
    const open = this.#open ?? [];
    this.#open = undefined;
    const full = [...open].flatMap(([member, rows]) => member.take(rows, endLsn) ?? []);
    if (full.length > 0) return this.#hold(Promise.all(full));
  }

  async #hold(until: Promise<unknown>): Promise<void> {
    this.#held = true;
    const late = setTimeout(() => this.on.held(), heldMs);
    await until;
    clearTimeout(late);
    this.#held = false;
  }

  /** Who has nothing in hand has dealt with all up to here: its slot moves on over other schemas' work. */
  #heartbeat(lsn: string, shouldRespond: boolean): void {
    if (this.#stopped) return;
    if (!this.#held && this.#open === undefined) for (const member of this.#members.values()) member.heartbeat(lsn);
    if (shouldRespond) this.#saySoon();
  }
}
