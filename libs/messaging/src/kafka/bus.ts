// Only this folder knows kafkajs. Everything else sees the port in bus.ts.
import net from 'node:net';
import { CompressionTypes, Kafka, logLevel, type Admin, type KafkaConfig as KafkaJsConfig, type Producer } from 'kafkajs';
import type { BusDescription, CloudEvent, EventBus, Message, SubscribeOptions, Subscription, Topic } from '../bus.ts';
import { portionsOf, type KafkaRecord } from './records.ts';
import './request-queue.ts';
import { askedAgain } from './asked-again.ts';
import { scanTopic } from './scan.ts';
import { KafkaSubscription } from './subscription.ts';

export type KafkaConfig = {
  readonly kind: 'kafka';
  readonly brokers: readonly string[];
  readonly clientId: string;
  /** Where what kafkajs has to say goes; its errors alone unless told, on stderr. */
  readonly log?: (level: 'error' | 'warn', message: string) => void;
};

/** A body or frame has 1 MiB at most, a workflow with its params 0.9 Mi characters, of which each may be 3 bytes. */
const MAX_MESSAGE_BYTES = 4 << 20;

export class KafkaBus implements EventBus {
  readonly kind = 'kafka' as const;
  readonly #settings: KafkaJsConfig;
  readonly #kafka: Kafka;
  readonly #wanted = new Map<string, Topic>();
  readonly #subscriptions = new Set<KafkaSubscription>();
  #line: Line | undefined;
  #lines = 0;
  #admin: Promise<Admin> | undefined;

  constructor(private readonly config: KafkaConfig) {
    this.#settings = {
      clientId: config.clientId,
      brokers: [...config.brokers],
      socketFactory: withoutDelay,
      connectionTimeout: 3_000,
      requestTimeout: 10_000,
      retry: { initialRetryTime: 50, maxRetryTime: 1_000, retries: 5 },
      logLevel: logLevel.WARN,
      logCreator: () => (entry) => this.#log(entry.level, entry.log as { message: string; error?: string }),
    };
    this.#kafka = new Kafka(this.#settings);
  }

  async publish(messages: readonly Message[]): Promise<void> {
    // All over one line: were it cut in between, the rest could reach a bus made anew.
    const line = this.#openLine();
    for (const portion of portionsOf(messages)) await this.#send(line, portion);
  }

  async #send(line: Line, portion: ReadonlyMap<string, readonly KafkaRecord[]>): Promise<void> {
    const producer = await line.producer;
    try {
      await producer.sendBatch({
        acks: -1,
        compression: CompressionTypes.None,
        topicMessages: [...portion].map(([topic, records]) => ({ topic, messages: [...records] })),
      });
    } catch (error) {
      line.end();
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

  async scan(topic: string, handle: (events: readonly CloudEvent[]) => Promise<void>): Promise<{ complete: boolean }> {
    return scanTopic(this.#kafka, await this.#connectedAdmin(), topic, handle);
  }

  async ensureTopics(topics: readonly Topic[]): Promise<void> {
    for (const topic of topics) this.#wanted.set(topic.name, topic);
    await askedAgain(() => this.#createTopics(topics)); // another service may create the same topics at this moment
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

  async has(topic: string): Promise<boolean> {
    return (await (await this.#connectedAdmin()).listTopics()).includes(topic);
  }

  forget(): Promise<number> {
    return Promise.resolve(0);
  }

  async describe(): Promise<BusDescription> {
    const { brokers, clusterId } = await (await this.#connectedAdmin()).describeCluster();
    return { kind: 'kafka', brokers: brokers.map((b) => `${b.host}:${b.port}`), identity: clusterId };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.stop()));
    await Promise.all(
      [this.#line?.producer, this.#admin].map(async (client) =>
        (await client?.catch(() => undefined))?.disconnect().catch(() => undefined),
      ),
    );
  }

  line(): number {
    return this.#line && !this.#line.cut ? this.#lines : this.#lines + 1;
  }

  #openLine(): Line {
    if (this.#line && !this.#line.cut) return this.#line;
    this.#line?.end();
    this.#lines++;
    return (this.#line = new Line((socketFactory) => new Kafka({ ...this.#settings, socketFactory })));
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

type SocketFactory = NonNullable<KafkaJsConfig['socketFactory']>;

/**
 * A producer and its connections. Once one of them has ended no other is made: who publishes must know of it, as the bus may have been
 * made anew meanwhile, and kafkajs would go on over a new one without a word. For the same reason it has hardly any retries of its own
 * (it insists on one).
 */
class Line {
  readonly producer: Promise<Producer>;
  #cut = false;

  constructor(client: (sockets: SocketFactory) => Kafka) {
    const kafka = client((to) => {
      const socket = withoutDelay(to);
      if (this.#cut) return socket.destroy(new Error('the connection to the bus was cut'));
      return socket.once('close', () => (this.#cut = true));
    });
    const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1, allowAutoTopicCreation: false, retry: { retries: 1 } });
    this.producer = connected(producer, () => (this.#cut = true));
    this.producer.catch(() => undefined); // whoever publishes hears of it
  }

  get cut(): boolean {
    return this.#cut;
  }

  /** A producer whose numbering a broker does not accept any more stays so: the next publication gets a new one. */
  end(): void {
    this.#cut = true;
    void this.producer.then((producer) => producer.disconnect()).catch(() => undefined);
  }
}

/**
 * kafkajs leaves Nagle's algorithm on: a commit or heartbeat behind another one then waits 40 ms for the broker's delayed
 * acknowledgement, and with it every event. With six partitions the median from publishing to the handler was 41 ms, and is 3.
 */
const withoutDelay: SocketFactory = ({ host, port, onConnect }) =>
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
