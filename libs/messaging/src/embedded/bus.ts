import path from 'node:path';
import { migrate, migrationsIn } from '@chrysalis/event-store';
import type pg from 'pg';
import type { BusDescription, CloudEvent, EventBus, Message, SubscribeOptions, Subscription, Topic } from '../bus.ts';
import { Offered } from './partition-reader.ts';
import type { Placed } from './publications.ts';
import { shareMembership } from './shared.ts';
import * as sql from './sql.ts';

const migrations = migrationsIn(path.join(import.meta.dirname, 'migrations'));

/** `connectionString`: of the owner of the bus's tables; who publishes and reads may make none. */
export type EmbeddedConfig = { readonly kind: 'embedded'; readonly pool: pg.Pool; readonly connectionString: string };

type Stored = { readonly topic: string; readonly partition: number; readonly first: string; readonly stored: number; readonly bus: string };

/** The bus on PostgreSQL, for one machine. Several processes may share it. */
export class EmbeddedBus implements EventBus {
  readonly kind = 'embedded' as const;
  readonly #partitions = new Map<string, number>();
  readonly #wanted = new Map<string, Topic>();
  readonly #shared: ReturnType<typeof shareMembership>;
  readonly #subscriptions = new Set<Subscription>();
  #ready: Promise<unknown> | undefined;

  constructor(private readonly config: EmbeddedConfig) {
    this.#shared = shareMembership(config.connectionString, () => this.#repair());
  }

  async publish(messages: readonly Message[]): Promise<void> {
    if (messages.length === 0) return;
    await this.#migrated();
    const placed: Placed[] = [];
    for (const { topic, event } of messages) {
      const partitions = this.#partitions.get(topic) ?? (await this.#count(topic));
      placed.push({ topic, event, partition: partitionOf(event.partitionkey, partitions), text: JSON.stringify(event) });
    }
    await this.#shared.publications.submit(placed, (all, pool) => this.#write(all, pool));
  }

  /** What other buses of this process publish at the same moment may be among them. */
  async #write(placed: readonly Placed[], pool: pg.Pool): Promise<void> {
    const { membership } = this.#shared;
    const values = [placed.map((m) => m.topic), placed.map((m) => m.partition), `[${placed.map((m) => m.text).join()}]`, membership.others];
    const { rows } = await this.#guarded(() => pool.query<Stored>({ ...sql.publish, values }));
    const stored = rows[0]?.stored ?? 0;
    if (stored !== placed.length) {
      this.#partitions.clear(); // the topics were made anew under us
      throw new Error(`the bus stored ${stored} of ${placed.length} messages`);
    }
    const byPlace = Map.groupBy(placed, (m) => `${m.topic} ${m.partition}`);
    for (const { topic, partition, first, bus } of rows) {
      const events = byPlace.get(`${topic} ${partition}`)!.map((m) => new Offered(m.event.type, m.text));
      membership.offer(topic, partition, { bus, first: BigInt(first), events });
    }
  }

  async flush(): Promise<void> {
    await this.config.pool.query(sql.flush);
  }

  async subscribe(options: SubscribeOptions): Promise<Subscription> {
    await this.#migrated();
    for (const topic of options.topics) await this.#count(topic);
    const { membership } = this.#shared;
    const member = await membership.add(this.config.pool, options);
    const subscription = {
      stop: async () => {
        this.#subscriptions.delete(subscription);
        await membership.remove(member);
      },
      health: () => membership.health(member),
    };
    this.#subscriptions.add(subscription);
    return subscription;
  }

  async scan(topic: string, handle: (events: readonly CloudEvent[]) => Promise<void>): Promise<{ complete: boolean }> {
    await this.#migrated();
    type End = { partition: number; next_offset: string; bus: string };
    const { rows: ends } = await this.config.pool.query<End>(sql.ends, [topic]);
    for (const { partition, next_offset, bus } of ends)
      for (let next = 0n; next < BigInt(next_offset);) {
        const values = [topic, partition, next, 500, bus];
        const { rows } = await this.config.pool.query<{ message_offset: string | null; event: CloudEvent }>(sql.fetch, values);
        if (rows.length === 0) throw new Error(`the bus was made anew while ${topic} was read`);
        const found = rows.filter((row) => row.message_offset !== null);
        if (found.length === 0) break;
        await handle(found.map((row) => row.event));
        next = BigInt(found.at(-1)!.message_offset!) + 1n;
      }
    return { complete: true };
  }

  async ensureTopics(topics: readonly Topic[]): Promise<void> {
    await this.#migrated();
    for (const topic of topics) this.#wanted.set(topic.name, topic);
    // In one order always: services that start together would lock each other's topics.
    await this.config.pool.query(
      `with made as (
        insert into bus.topics (name, partitions) select * from unnest($1::text[], $2::int[]) t(name, partitions) order by name on conflict do nothing returning name, partitions
      ) insert into bus.partitions (topic, partition) select name, n from made, generate_series(0, partitions - 1) n`,
      [topics.map((t) => t.name), topics.map((t) => t.partitions)],
    );
  }

  async has(topic: string): Promise<boolean> {
    await this.#migrated();
    const { rows } = await this.#guarded(() => this.config.pool.query('select from bus.topics where name = $1', [topic]));
    return rows.length > 0;
  }

  async forget(topic: string): Promise<number> {
    await this.#migrated();
    return (await this.#guarded(() => this.config.pool.query(sql.forget, [topic]))).rowCount ?? 0;
  }

  async describe(): Promise<BusDescription> {
    await this.#migrated();
    const { rows } = await this.#guarded(() =>
      this.config.pool.query<{ id: string; version: string }>(`select id, current_setting('server_version') as version from bus.identity`),
    );
    return { kind: 'embedded', version: `PostgreSQL ${rows[0]!.version}`, identity: rows[0]!.id };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.stop()));
    await this.#shared.leave();
  }

  #migrated(): Promise<unknown> {
    this.#ready ??= migrate(this.config.connectionString, 'bus', migrations).catch((error: unknown) => {
      this.#ready = undefined;
      throw error;
    });
    return this.#ready;
  }

  /** The bus's tables were dropped: makes them and the topics again. The relay then sees a new identity. */
  async #repair(): Promise<void> {
    this.#ready = undefined;
    this.#partitions.clear();
    await this.ensureTopics([...this.#wanted.values()]);
  }

  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (['42P01', '3F000'].includes((error as { code?: string }).code ?? '')) await this.#repair();
      throw error;
    }
  }

  async #count(topic: string): Promise<number> {
    const known = this.#partitions.get(topic);
    if (known !== undefined) return known;
    const { rows } = await this.#guarded(() =>
      this.config.pool.query<{ partitions: number }>('select partitions from bus.topics where name = $1', [topic]),
    );
    if (!rows[0]) throw new Error(`there is no topic ${topic}: see ensureTopics`);
    this.#partitions.set(topic, rows[0].partitions);
    return rows[0].partitions;
  }
}

/** FNV-1a: a key stays in its partition for as long as their number does not change. */
export const partitionOf = (key: string, partitions: number): number => {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(key)) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0) % partitions;
};
