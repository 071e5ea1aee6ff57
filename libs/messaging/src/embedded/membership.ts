import { randomUUID } from 'node:crypto';
import { Mutex } from 'async-mutex';
import pg from 'pg';
import type { Health, SubscribeOptions } from '../bus.ts';
import { messageOf, Pause } from '../pause.ts';
import { serial, type Serial } from '../serial.ts';
import { Offsets } from './offsets.ts';
import { PartitionReader, type Offer } from './partition-reader.ts';
import * as sql from './sql.ts';

type Member = {
  readonly id: string;
  readonly pool: pg.Pool;
  readonly options: SubscribeOptions;
  readonly readers: Map<string, PartitionReader>;
};
type MemberRow = { id: string; consumer_group: string; topics: string[]; ours: boolean };
type Place = { readonly topic: string; readonly partition: number };
type PartitionRow = { topic: string; partition: number; next: string; bus: string; behind: boolean };

/**
 * Shares partitions between the members of each group. One connection a process holds a lock for each partition it reads, so a crash
 * frees them at once; the shares follow from the list of members, the same for everyone who looks.
 */
export class Membership {
  readonly #members = new Map<string, Member>();
  readonly #owners = new Map<string, string>(); // locks are per connection: within this process they are told apart here
  readonly #pause = new Pause();
  #connection: pg.Client | undefined;
  #query: Serial | undefined;
  #connecting: Promise<Serial> | undefined;
  #fault: string | undefined;
  #stopped = false;
  #others = false;
  #running: Promise<void> | undefined;
  readonly #round = new Mutex();
  readonly #offsets = new Offsets(() => this.#query);

  constructor(
    private readonly connectionString: string,
    /** Called when the bus's tables are gone. */
    private readonly repair: () => Promise<void>,
  ) {}

  /** Whether processes other than this one read from the bus: only then publishing needs a NOTIFY. */
  get others(): boolean {
    return this.#others;
  }

  async add(pool: pg.Pool, options: SubscribeOptions): Promise<Member> {
    const member: Member = { id: randomUUID(), pool, options, readers: new Map() };
    this.#members.set(member.id, member);
    this.#running ??= this.#run();
    await this.#look(member);
    return member;
  }

  /** Registers and takes free partitions now, so that a subscription works when `subscribe` resolves. */
  async #look(member: Member): Promise<void> {
    const query = await this.#connect();
    await query(sql.register, [member.id, member.options.group, member.options.topics]);
    await query('notify bus_members');
    await this.#round.runExclusive(async () => this.#rebalanceOnce(member.options.group));
  }

  async remove(member: Member): Promise<void> {
    this.#members.delete(member.id);
    await Promise.all([...member.readers.values()].map((reader) => reader.stop()));
    for (const [key, reader] of [...member.readers]) await this.#release(member, key, reader);
    await this.#query?.('delete from bus.members where id = $1', [member.id]).catch(() => undefined);
    await this.#query?.('notify bus_members').catch(() => undefined);
  }

  health(member: Member): Health {
    const reason = this.#fault ?? [...member.readers.values()].find((reader) => reader.fault)?.fault;
    return reason === undefined ? { ok: true } : { ok: false, reason };
  }

  wake(topic: string, partition: number): void {
    for (const { readers } of this.#members.values()) readers.get(`${topic} ${partition}`)?.wake();
  }

  /** What was just published, for readers of this process: those who stand there need not fetch it. */
  offer(topic: string, partition: number, offer: Offer): void {
    for (const { readers } of this.#members.values()) readers.get(`${topic} ${partition}`)?.offer(offer);
  }

  async close(): Promise<void> {
    this.#stopped = true;
    await Promise.all([...this.#members.values()].map((member) => this.remove(member)));
    this.#offsets.stop();
    this.#pause.cut();
    await this.#running;
    await this.#connection?.end().catch(() => undefined);
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      await this.#pause.wait(1_000);
      if (this.#stopped) return;
      try {
        await this.#rebalance();
        this.#fault = undefined;
      } catch (error) {
        this.#fault = messageOf(error);
        if (['42P01', '3F000'].includes((error as { code?: string }).code ?? '')) await this.repair().catch(() => undefined);
      }
    }
  }

  /** One at a time: locks taken over a second connection would be held by nobody who reads. */
  #connect(): Promise<Serial> {
    if (this.#query) return Promise.resolve(this.#query);
    this.#connecting ??= this.#open().finally(() => (this.#connecting = undefined));
    return this.#connecting;
  }

  /** It listens by itself, not by the store's `listen`: the locks are this connection's, so its loss must be known before another is made. */
  async #open(): Promise<Serial> {
    const connection = new pg.Client({ connectionString: this.connectionString, keepAlive: true, application_name: 'chrysalis-bus' });
    const lost = (): void => {
      if (this.#connection === connection) this.#lost();
    };
    connection.on('error', lost);
    connection.on('end', lost);
    connection.on('notification', ({ channel, payload }) => {
      if (channel === 'bus_members') return this.#pause.cut();
      const [topic, partition] = payload!.split(' ');
      this.wake(topic!, Number(partition));
    });
    await connection.connect();
    const query = serial(connection);
    [this.#connection, this.#query] = [connection, query];
    // Nothing that is written over it needs to be on the disk: places that a crash takes back come again, and members have their locks.
    await query('set synchronous_commit = off; listen bus_messages; listen bus_members');
    for (const { id, options } of this.#members.values()) await query(sql.register, [id, options.group, options.topics]);
    return query;
  }

  /** The locks went with the connection: whoever has them now may read, so we must not. What is in hand ends in the inbox. */
  #lost(): void {
    [this.#connection, this.#query] = [undefined, undefined];
    this.#owners.clear();
    this.#fault = 'the connection to the bus is lost';
    for (const { readers } of this.#members.values()) {
      for (const reader of readers.values()) void reader.stop();
      readers.clear();
    }
    if (!this.#stopped) this.#pause.cut();
  }

  /** One at a time. */
  #rebalance(): Promise<void> {
    return this.#round.runExclusive(() => this.#rebalanceOnce());
  }

  /** Of one group, or of all: who joins changes nothing for others, and twenty that join one after the other are not two hundred. */
  async #rebalanceOnce(group?: string): Promise<void> {
    const query = await this.#connect();
    await query(sql.beat, [[...this.#members.keys()]]);
    const { rows } = await query<MemberRow>(sql.members);
    this.#others = rows.some((row) => !row.ours);
    // A member somebody else took for dead joins again.
    for (const member of this.#members.values())
      if (!rows.some((row) => row.id === member.id)) await query(sql.register, [member.id, member.options.group, member.options.topics]);
    for (const member of [...this.#members.values()])
      if (group === undefined || member.options.group === group) await this.#balance(query, member, rows);
  }

  async #balance(query: Serial, member: Member, all: readonly MemberRow[]): Promise<void> {
    const { group, topics } = member.options;
    const { rows } = await query<PartitionRow>(sql.partitions.text, [group, topics]);
    const ours = new Set<string>();
    const missing: Place[] = [];
    for (const { topic, partition, behind, next, bus } of rows) {
      const candidates = all.filter((m) => m.consumer_group === group && m.topics.includes(topic));
      if (candidates.length > 0 && candidates[partition % candidates.length]!.id !== member.id) continue;
      const key = `${topic} ${partition}`;
      ours.add(key);
      const reader = member.readers.get(key);
      if (behind && !reader?.isAt(next, bus)) reader?.wake();
      if (!reader) missing.push({ topic, partition });
    }
    await this.#take(query, member, missing);
    for (const [key, reader] of [...member.readers]) if (!ours.has(key)) void this.#release(member, key, reader);
  }

  async #take(query: Serial, member: Member, places: readonly Place[]): Promise<void> {
    const nameOf = ({ topic, partition }: Place): string => sql.lockName(member.options.group, topic, partition);
    const free = places.filter((place) => !this.#owners.has(nameOf(place)) && this.#members.has(member.id));
    if (free.length === 0) return;
    const names = free.map(nameOf);
    for (const name of names) this.#owners.set(name, member.id);
    const { rows } = await query<{ name: string; locked: boolean }>(sql.tryLocks, [names]).catch((error: Error) => {
      for (const name of names) this.#owners.delete(name);
      throw error;
    });
    const locked = new Set(rows.flatMap((row) => (row.locked ? [row.name] : [])));
    for (const place of free) {
      if (!locked.has(nameOf(place))) {
        this.#owners.delete(nameOf(place)); // its owner is about to let go; the next round takes it
        continue;
      }
      // A connection that was lost meanwhile took the lock with it, and whom it was for is forgotten already.
      if (this.#query !== query) continue;
      const { topic, partition } = place;
      member.readers.set(`${topic} ${partition}`, new PartitionReader(member.pool, member.options, topic, partition, this.#offsets));
    }
  }

  async #release(member: Member, key: string, reader: PartitionReader): Promise<void> {
    const query = this.#query;
    await reader.stop();
    if (member.readers.get(key) !== reader || query !== this.#query) return;
    member.readers.delete(key);
    const name = sql.lockName(member.options.group, reader.topic, reader.partition);
    await query?.(sql.unlock, [name]).catch(() => undefined);
    this.#owners.delete(name);
    await query?.('notify bus_members').catch(() => undefined);
  }
}
