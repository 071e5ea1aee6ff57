import type { Consumer, EachBatchPayload, Kafka } from 'kafkajs';
import type { Health, SubscribeOptions } from '../bus.ts';
import { backoff, messageOf, Pause } from '../pause.ts';
import { fromRecord } from './records.ts';

/** A member of a group. kafkajs's consumer may crash for good and leave a live process that consumes nothing: it is started anew. */
export class KafkaSubscription {
  readonly #pause = new Pause();
  readonly #joined = new Pause();
  readonly #offsets = new Map<string, { topic: string; partition: number; offset: string }>();
  #committing: NodeJS.Timeout | undefined;
  #consumer: Consumer | undefined;
  /** The last that crashed: it does nothing any more. */
  #broken: Consumer | undefined;
  #stopped = false;
  #fault: string | undefined;
  #crashes = 0;
  #restarting: Promise<void> | undefined;

  constructor(
    private readonly kafka: Kafka,
    private readonly options: SubscribeOptions,
    private readonly repairTopics: () => Promise<void>,
  ) {}

  health(): Health {
    return this.#fault === undefined ? { ok: true } : { ok: false, reason: this.#fault };
  }

  /** Resolves when it is a member of its group, so that nothing published after this is missed; also when that takes a crash or two. */
  async start(): Promise<void> {
    await this.#start();
    await this.#joined.wait(15_000);
  }

  async #start(): Promise<void> {
    const { group, topics, fromBeginning = true } = this.options;
    const consumer = this.kafka.consumer({
      groupId: group,
      sessionTimeout: 6_000,
      heartbeatInterval: 1_000,
      rebalanceTimeout: 10_000,
      maxWaitTimeInMs: 500,
      allowAutoTopicCreation: false,
      metadataMaxAge: 30_000,
      retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: 5, restartOnFailure: () => Promise.resolve(false) },
    });
    this.#consumer = consumer;
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      if (this.#consumer === consumer) this.#crashed(consumer, payload.error);
    });
    consumer.on(consumer.events.REBALANCING, () => void this.#commit(consumer));
    consumer.on(consumer.events.GROUP_JOIN, () => {
      this.#offsets.clear(); // another member may be further by now
      this.#fault = undefined;
      this.#joined.cut();
    });
    await consumer.connect();
    await consumer.subscribe({ topics: [...topics], fromBeginning });
    await consumer.run({
      autoCommit: false, // it would commit after each batch, 7 to 30 ms, and not fetch before
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: 6,
      eachBatch: (payload) => this.#batch(payload),
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#pause.cut();
    await this.#restarting;
    clearTimeout(this.#committing);
    if (this.#consumer) await this.#commit(this.#consumer);
    await this.#consumer?.disconnect().catch(() => undefined);
  }

  /** Committed in the background: what was handled and not yet committed comes again after a crash, and consumers know it then. */
  #handledUpTo(topic: string, partition: number, offset: string): void {
    this.#offsets.set(`${topic} ${partition}`, { topic, partition, offset: String(BigInt(offset) + 1n) });
    this.#committing ??= setTimeout(() => {
      this.#committing = undefined;
      if (this.#consumer) void this.#commit(this.#consumer);
    }, 250);
  }

  async #commit(consumer: Consumer): Promise<void> {
    const offsets = [...this.#offsets.values()];
    this.#offsets.clear();
    if (offsets.length > 0) await consumer.commitOffsets(offsets).catch(() => undefined);
  }

  #crashed(consumer: Consumer, error: Error): void {
    if (this.#stopped) return;
    this.#broken = consumer;
    this.#fault = `the consumer crashed: ${messageOf(error)}`;
    this.#restarting ??= this.#restart().finally(() => (this.#restarting = undefined));
  }

  async #restart(): Promise<void> {
    while (!this.#stopped) {
      await this.#consumer?.disconnect().catch(() => undefined);
      await this.#pause.wait(backoff(++this.#crashes, 100, 3_000));
      if (this.#stopped) return;
      try {
        await this.repairTopics();
        await this.#start();
        if (this.#broken === this.#consumer) continue; // kafkajs says that it runs, and that it crashed, of one that could not join
        this.#crashes = 0;
        return;
      } catch (error) {
        this.#fault = `the consumer does not start: ${messageOf(error)}`;
      }
    }
  }

  async #batch({ batch, resolveOffset, heartbeat, isRunning, isStale }: EachBatchPayload): Promise<void> {
    const { maxBatch = 100, handle } = this.options;
    const { topic, partition, messages } = batch;
    for (let start = 0; start < messages.length; start += maxBatch) {
      const part = messages.slice(start, start + maxBatch);
      const current = (): boolean => isRunning() && !isStale() && !this.#stopped;
      if (!current()) return;
      const done = await this.#handled(() => handle(part.map(fromRecord), { topic, partition }), heartbeat, current);
      if (!done) return;
      const { offset } = part.at(-1)!;
      resolveOffset(offset);
      this.#handledUpTo(topic, partition, offset);
    }
  }

  /** Runs it until it succeeds, with heartbeats meanwhile so that a slow handler does not cost us the partition. */
  async #handled(work: () => Promise<void>, heartbeat: () => Promise<void>, current: () => boolean): Promise<boolean> {
    for (let attempt = 1; current(); attempt++) {
      const beating = setInterval(() => void heartbeat().catch(() => undefined), 1_000);
      try {
        await work();
        this.#fault = undefined;
        return true;
      } catch (error) {
        this.#fault = messageOf(error);
        await this.#pause.wait(backoff(attempt, 50, 2_000));
      } finally {
        clearInterval(beating);
      }
    }
    return false;
  }
}
