import { randomUUID } from 'node:crypto';
import { Mutex } from 'async-mutex';
import pg from 'pg';
import type { Health, SubscribeOptions } from '../bus.ts';
import { messageOf, Pause } from '../pause.ts';
import { serial, type Serial } from '../serial.ts';
import { PartitionReader, type Offer } from './partition-reader.ts';
import * as sql from './sql.ts';

type Member = {
  readonly id: string;
  readonly pool: pg.Pool;
  readonly options: SubscribeOptions;
  readonly readers: Map<string, PartitionReader>;
};
type MemberRow = { id: string; consumer_group: string; topics: string[]; ours: boolean };
type PartitionRow = { topic: string; partition: number; behind: boolean };

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
    await this.#rebalance();
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
    await query('listen bus_messages; listen bus_members');
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

  async #rebalanceOnce(): Promise<void> {
    const query = await this.#connect();
    await query(sql.beat, [[...this.#members.keys()]]);
    const { rows } = await query<MemberRow>(sql.members);
    this.#others = rows.some((row) => !row.ours);
    // A member somebody else took for dead joins again.
    for (const member of this.#members.values())
      if (!rows.some((row) => row.id === member.id)) await query(sql.register, [member.id, member.options.group, member.options.topics]);
    for (const member of [...this.#members.values()]) await this.#balance(query, member, rows);
  }

  async #balance(query: Serial, member: Member, all: readonly MemberRow[]): Promise<void> {
    const { group, topics } = member.options;
    const { rows } = await query<PartitionRow>(sql.partitions.text, [group, topics]);
    const ours = new Set<string>();
    for (const { topic, partition, behind } of rows) {
      const candidates = all.filter((m) => m.consumer_group === group && m.topics.includes(topic));
      if (candidates.length > 0 && candidates[partition % candidates.length]!.id !== member.id) continue;
      const key = `${topic} ${partition}`;
      ours.add(key);
      if (behind) member.readers.get(key)?.wake();
      if (!member.readers.has(key)) await this.#take(query, member, topic, partition);
    }
    for (const [key, reader] of [...member.readers]) if (!ours.has(key)) void this.#release(member, key, reader);
  }

  async #take(query: Serial, member: Member, topic: string, partition: number): Promise<void> {
    const name = sql.lockName(member.options.group, topic, partition);
    if (this.#owners.has(name) || !this.#members.has(member.id)) return;
    this.#owners.set(name, member.id);
    const { rows } = await query<{ locked: boolean }>(sql.tryLock, [name]).catch((error: Error) => {
      this.#owners.delete(name);
      throw error;
    });
    if (!rows[0]!.locked) return void this.#owners.delete(name); // its owner is about to let go; the next round takes it
    // A connection that was lost meanwhile took the lock with it, and whom it was for is forgotten already.
    if (this.#query === query)
      member.readers.set(`${topic} ${partition}`, new PartitionReader(member.pool, member.options, topic, partition));
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
