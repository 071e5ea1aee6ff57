import type pg from 'pg';
import type { CloudEvent, SubscribeOptions } from '../bus.ts';
import { backoff, messageOf, Pause } from '../pause.ts';
import * as sql from './sql.ts';

/** Reads one partition for one group, from where the group stands, until it is stopped. One batch at a time: order per key. */
export class PartitionReader {
  readonly #pause = new Pause();
  #stopped = false;
  #fault: string | undefined;
  readonly #done: Promise<void>;

  constructor(
    private readonly pool: pg.Pool,
    private readonly options: SubscribeOptions,
    readonly topic: string,
    readonly partition: number,
  ) {
    this.#done = this.#run();
  }

  get fault(): string | undefined {
    return this.#fault;
  }

  wake(): void {
    this.#pause.cut();
  }

  /** Resolves when the batch in hand is done; after that the partition may go to another. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#pause.cut();
    await this.#done;
  }

  async #run(): Promise<void> {
    for (let failures = 0; !this.#stopped; ) {
      try {
        await this.#read(() => (failures = 0));
      } catch (error) {
        this.#fault = `${this.topic}/${this.partition}: ${messageOf(error)}`;
        await this.#pause.wait(backoff(++failures, 50, 2_000));
      }
    }
  }

  async #read(progress: () => void): Promise<void> {
    const { group, handle, fromBeginning = true, maxBatch = 100 } = this.options;
    const place = [this.topic, this.partition] as const;
    const joined = await this.pool.query<{ next_offset: string }>(sql.join, [group, ...place, fromBeginning]);
    if (!joined.rows[0]) throw new Error('the topic is gone');
    for (let next = BigInt(joined.rows[0].next_offset); !this.#stopped; ) {
      const { rows } = await this.pool.query<{ message_offset: string; event: CloudEvent }>(sql.fetch, [...place, next, maxBatch]);
      if (rows.length > 0) {
        await handle(rows.map((row) => row.event), { topic: this.topic, partition: this.partition });
        next = BigInt(rows.at(-1)!.message_offset) + 1n;
        await this.pool.query(sql.commit, [group, ...place, next]);
      }
      this.#fault = undefined;
      progress();
      if (rows.length < maxBatch) await this.#pause.wait(30_000); // woken by publishers, and each second by the membership's look
    }
  }
}
