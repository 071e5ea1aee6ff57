import { Mutex } from 'async-mutex';
import type pg from 'pg';
import type { Follower } from './follower.ts';
import { LogStream } from './log-stream.ts';
import { slotFree } from './slot.ts';

/** So long after the last one came or went, streams become one: what starts together, or ends together, does not begin anew each time. */
const calmMs = 1_000;
/** In bytes of PostgreSQL's log: who is further behind than that would hold up the others. */
const nearBytes = 16n * 1024n * 1024n;

const byConnection = new Map<string, LogStreams>();

/**
 * The streams of a process over one database. Each follower begins with one of its own slot; those that are about as far as each other then
 * go on with one for all, of the slot of whoever is least far: nothing after its place is missed by anybody, and what others have had by
 * then they know by its place. When that one leaves, or holds up the others, each goes on with its own.
 */
export class LogStreams {
  readonly #streams = new Set<LogStream>();
  readonly #turn = new Mutex();
  #timer: NodeJS.Timeout | undefined;

  private constructor(private readonly connection: pg.ClientConfig) {}

  static of(connection: pg.ClientConfig): LogStreams {
    const key = JSON.stringify(connection);
    const known = byConnection.get(key);
    if (known) return known;
    const made = new LogStreams(connection);
    byConnection.set(key, made);
    return made;
  }

  join(follower: Follower): Promise<void> {
    return this.#turn.runExclusive(() => this.#open(follower, [follower]));
  }

  leave(follower: Follower): Promise<void> {
    return this.#turn.runExclusive(async () => {
      for (const stream of [...this.#streams]) {
        if (!stream.members.includes(follower)) continue;
        stream.drop(follower);
        if (stream.owner === follower) await this.#apart(stream);
      }
    });
  }

  #open(owner: Follower, members: readonly Follower[]): void {
    const stream = new LogStream(this.connection, owner, members, {
      failed: (error) => this.#failed(stream, error),
      held: () => void this.#turn.runExclusive(() => (stream.members.length > 1 ? this.#apart(stream) : undefined)),
    });
    this.#streams.add(stream);
    for (const member of members) member.follow(stream);
    stream.start();
    this.#mergeLater();
  }

  async #apart(stream: LogStream): Promise<void> {
    if (!this.#streams.delete(stream)) return;
    await stream.stop();
    for (const member of stream.members.filter((m) => !m.stopped)) await this.#openFree(member, [member]);
  }

  #failed(stream: LogStream, error: Error): void {
    this.#streams.delete(stream);
    void stream.stop();
    for (const member of stream.members) member.fail(error);
  }

  #mergeLater(): void {
    clearTimeout(this.#timer);
    if (this.#streams.size < 2) return;
    this.#timer = setTimeout(() => void this.#turn.runExclusive(() => this.#merge()), calmMs).unref();
  }

  async #merge(): Promise<void> {
    const streams = [...this.#streams].filter((s) => s.members.every((m) => m.calm));
    const near = alike(streams);
    if (near.length > 1) await this.#together(near);
    else this.#mergeLater();
  }

  /** A follower goes on publishing what it has meanwhile; the one that is least far then may have come further, and is sent some again. */
  async #together(streams: readonly LogStream[]): Promise<void> {
    const members = streams.flatMap((s) => s.members);
    for (const stream of streams) {
      this.#streams.delete(stream);
      await stream.stop();
    }
    const there = members.filter((m) => !m.stopped);
    const [owner] = there.sort((a, b) => (a.done < b.done ? -1 : 1));
    if (!owner) return;
    await this.#openFree(owner, there);
  }

  async #openFree(owner: Follower, members: readonly Follower[]): Promise<void> {
    try {
      await slotFree(owner.query, owner.slot);
      this.#open(owner, members);
    } catch (error) {
      for (const member of members) member.fail(error as Error);
    }
  }
}

/**
 * Those that may be one: each schema once, about as far, and all further than where the last of them began. Before that its publication may
 * not have been there, and the log is decoded with the catalogue as it was.
 */
const alike = (streams: readonly LogStream[]): readonly LogStream[] => {
  const placeOf = (s: LogStream): bigint => s.members.reduce((least, m) => (m.done < least ? m.done : least), s.owner.done);
  const schemas = new Set<string>();
  const furthest = streams.reduce((most, s) => (placeOf(s) > most ? placeOf(s) : most), 0n);
  const near = streams.filter(
    (s) => furthest - placeOf(s) <= nearBytes && s.members.every((m) => !schemas.has(m.schema) && schemas.add(m.schema)),
  );
  const born = near.flatMap((s) => s.members).reduce((last, m) => (m.begin > last ? m.begin : last), 0n);
  return near.filter((s) => placeOf(s) >= born);
};
