// The only file that knows kafkajs. Everything else sees the port in bus.ts.
import { setTimeout as sleep } from 'node:timers/promises';
import net from 'node:net';
import {
  CompressionTypes,
  Kafka,
  logLevel,
  type Admin,
  type Consumer,
  type EachBatchPayload,
  type KafkaMessage,
  type Producer,
} from 'kafkajs';
import type { BusDescription, CloudEvent, EventBus, Health, Message, SubscribeOptions, Subscription, Topic } from './bus.ts';
import { backoff, messageOf, Pause } from './pause.ts';

export type KafkaConfig = {
  readonly kind: 'kafka';
  readonly brokers: readonly string[];
  readonly clientId: string;
  /** Where what kafkajs has to say goes; its errors alone unless told, on stderr. */
  readonly log?: (level: 'error' | 'warn', message: string) => void;
};

/** A body or frame has 1 MiB at most, a workflow with its params 0.9 Mi characters, of which each may be 3 bytes. */
const MAX_MESSAGE_BYTES = 4 << 20;
const PORTION_BYTES = 900_000;
/** Key, headers and framing; more than there is. */
const RECORD_OVERHEAD = 2_000;

/** CloudEvents in Kafka's binary mode: attributes as headers `ce_…`, the data as the value, the partition key as the key. */
export class KafkaBus implements EventBus {
  readonly kind = 'kafka' as const;
  readonly #kafka: Kafka;
  readonly #wanted = new Map<string, Topic>();
  readonly #subscriptions = new Set<KafkaSubscription>();
  #producer: Promise<Producer> | undefined;
  #admin: Promise<Admin> | undefined;

  constructor(private readonly config: KafkaConfig) {
    this.#kafka = new Kafka({
      clientId: config.clientId,
      brokers: [...config.brokers],
      socketFactory: withoutDelay,
      connectionTimeout: 3_000,
      requestTimeout: 10_000,
      retry: { initialRetryTime: 50, maxRetryTime: 1_000, retries: 5 },
      logLevel: logLevel.WARN,
      logCreator: () => (entry) => this.#log(entry.level, entry.log as { message: string; error?: string }),
    });
  }

  async publish(messages: readonly Message[]): Promise<void> {
    for (const portion of portionsOf(messages)) await this.#send(portion);
  }

  async #send(portion: ReadonlyMap<string, readonly KafkaRecord[]>): Promise<void> {
    const producer = await this.#connectedProducer();
    try {
      await producer.sendBatch({
        acks: -1,
        compression: CompressionTypes.None,
        topicMessages: [...portion].map(([topic, records]) => ({ topic, messages: [...records] })),
      });
    } catch (error) {
      // A producer whose numbering a broker does not accept any more stays so: the next publication gets a new one.
      this.#producer = undefined;
      void producer.disconnect().catch(() => undefined);
      if (this.#wanted.size > 0) await this.#createTopics([...this.#wanted.values()]).catch(() => undefined);
      throw error;
    }
  }

  /** `acks: -1`: every replica that is in step has it. */
  flush(): Promise<void> {
    return Promise.resolve();
  }

  async subscribe(options: SubscribeOptions): Promise<Subscription> {
    const subscription = new KafkaSubscription(this.#kafka, options, () => this.#createTopics([...this.#wanted.values()]));
    this.#subscriptions.add(subscription);
    await subscription.start();
    return {
      stop: async () => {
        this.#subscriptions.delete(subscription);
        await subscription.stop();
      },
      health: () => subscription.health(),
    };
  }

  async ensureTopics(topics: readonly Topic[]): Promise<void> {
    for (const topic of topics) this.#wanted.set(topic.name, topic);
    // Another service may create the same topics at this moment, and the broker not lead them yet: it says so, and is asked again.
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#createTopics(topics);
      } catch (error) {
        if (attempt === 50 || !(error as { retriable?: boolean }).retriable) throw error;
        await sleep(100);
      }
    }
  }

  async #createTopics(topics: readonly Topic[]): Promise<void> {
    const admin = await this.#connectedAdmin();
    const there = new Set(await admin.listTopics());
    const missing = topics.filter((topic) => !there.has(topic.name));
    if (missing.length === 0) return;
    await admin.createTopics({
      waitForLeaders: true,
      topics: missing.map(({ name, partitions, config = {} }) => ({
        topic: name,
        numPartitions: partitions,
        configEntries: Object.entries({ 'max.message.bytes': String(MAX_MESSAGE_BYTES), ...config }).map(([key, value]) => ({
          name: key,
          value,
        })),
      })),
    });
  }

  async describe(): Promise<BusDescription> {
    const { brokers, clusterId } = await (await this.#connectedAdmin()).describeCluster();
    return { kind: 'kafka', brokers: brokers.map((b) => `${b.host}:${b.port}`), identity: clusterId };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.stop()));
    await Promise.all(
      [this.#producer, this.#admin].map(async (client) => (await client?.catch(() => undefined))?.disconnect().catch(() => undefined)),
    );
  }

  /** Hardly any retries of its own (it insists on one): who publishes must know of each failure, as the bus may have been made anew. */
  #connectedProducer(): Promise<Producer> {
    this.#producer ??= connected(
      this.#kafka.producer({ idempotent: true, maxInFlightRequests: 1, allowAutoTopicCreation: false, retry: { retries: 1 } }),
      () => (this.#producer = undefined),
    );
    return this.#producer;
  }

  #connectedAdmin(): Promise<Admin> {
    this.#admin ??= connected(this.#kafka.admin({ retry: { retries: 3 } }), () => (this.#admin = undefined));
    return this.#admin;
  }

  #log(level: logLevel, { message, error }: { message: string; error?: string }): void {
    const text = error ? `${message}: ${error}` : message;
    if (expected.test(text)) return;
    if (this.config.log) this.config.log(level === logLevel.ERROR ? 'error' : 'warn', text);
    else if (level === logLevel.ERROR) process.stderr.write(`kafka: ${text}\n`);
  }
}

/**
 * kafkajs leaves Nagle's algorithm on: a commit or heartbeat behind another one then waits 40 ms for the broker's delayed
 * acknowledgement, and with it every event. With six partitions the median from publishing to the handler was 41 ms, and is 3.
 */
export const withoutDelay: NonNullable<ConstructorParameters<typeof Kafka>[0]['socketFactory']> = ({ host, port, onConnect }) =>
  net.connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 }, onConnect);

const connected = async <T extends { connect(): Promise<void> }>(client: T, forget: () => void): Promise<T> => {
  try {
    await client.connect();
    return client;
  } catch (error) {
    forget();
    throw error;
  }
};

/** Passing states of a broker that starts or a group that forms; kafkajs logs them as errors and tries again by itself. */
const expected =
  /default partitioner|invalidate EoS|coordinator is loading|is not the coordinator|group coordinator is not available|group is rebalancing|rebalance|already exists/i;

/** A member of a group. kafkajs's consumer may crash for good and leave a live process that consumes nothing: it is started anew. */
class KafkaSubscription {
  readonly #pause = new Pause();
  readonly #joined = new Pause();
  readonly #offsets = new Map<string, { topic: string; partition: number; offset: string }>();
  #committing: NodeJS.Timeout | undefined;
  #consumer: Consumer | undefined;
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
      if (this.#consumer === consumer) this.#crashed(payload.error);
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

  #crashed(error: Error): void {
    if (this.#stopped) return;
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

const attributes = [
  'specversion',
  'id',
  'source',
  'type',
  'subject',
  'time',
  'traceparent',
  'correlationid',
  'causationid',
  'actor',
  'tenant',
] as const;

type KafkaRecord = { readonly key: string; readonly value: string; readonly headers: Record<string, string> };

/** By topic, in order. A broker refuses a batch of more than 1 MiB as it refuses one message of that size: so much goes at once, or one alone. */
const portionsOf = (messages: readonly Message[]): Map<string, KafkaRecord[]>[] => {
  const portions: Map<string, KafkaRecord[]>[] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const { topic, event } of messages) {
    const record = toRecord(event);
    const size = Buffer.byteLength(record.value) + RECORD_OVERHEAD;
    if (bytes + size > PORTION_BYTES) {
      portions.push(new Map());
      bytes = 0;
    }
    bytes += size;
    const portion = portions.at(-1)!;
    const records = portion.get(topic);
    if (records) records.push(record);
    else portion.set(topic, [record]);
  }
  return portions;
};

const toRecord = (event: CloudEvent): KafkaRecord => {
  const headers: Record<string, string> = { 'content-type': event.datacontenttype };
  for (const name of attributes) if (event[name] !== undefined) headers[`ce_${name}`] = event[name];
  headers['ce_partitionkey'] = event.partitionkey;
  if (event.streamversion !== undefined) headers['ce_streamversion'] = String(event.streamversion);
  return { key: event.partitionkey, value: JSON.stringify(event.data ?? null), headers };
};

const fromRecord = ({ key, value, headers = {} }: KafkaMessage): CloudEvent => {
  const header = (name: string): string | undefined => headers[`ce_${name}`]?.toString();
  const event: Record<string, unknown> = {};
  for (const name of attributes) if (header(name) !== undefined) event[name] = header(name);
  event['partitionkey'] = header('partitionkey') ?? key?.toString() ?? '';
  event['datacontenttype'] = 'application/json';
  if (header('streamversion') !== undefined) event['streamversion'] = Number(header('streamversion'));
  event['data'] = parse(value);
  return event as CloudEvent;
};

/** Bytes that are no JSON are delivered as text: the consumer's schema refuses them, and they are parked like any poison. */
const parse = (value: Buffer | null): unknown => {
  if (value === null) return null;
  try {
    return JSON.parse(value.toString());
  } catch {
    return value.toString();
  }
};
