/** CloudEvents 1.0. Attributes beyond the specification's are extensions, hence lower case. `subject` is the stream. */
export type CloudEvent = {
  readonly specversion: '1.0';
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly subject: string;
  readonly time: string;
  /** Events of one key are delivered in the order they were published in. */
  readonly partitionkey: string;
  readonly datacontenttype: 'application/json';
  readonly traceparent?: string;
  readonly correlationid: string;
  readonly causationid?: string;
  readonly actor: string;
  readonly tenant: string;
  /** The version the event has in its stream, from 1. */
  readonly streamversion?: number;
  /** Of a command: the topic that its answer goes to, and until when it is wanted. As it came, and whoever sends may write what they like. */
  readonly replyto?: string;
  readonly expirytime?: string;
  readonly data: unknown;
};

export type Message = { readonly topic: string; readonly event: CloudEvent };
export type Topic = { readonly name: string; readonly partitions: number; readonly config?: Readonly<Record<string, string>> };
export type Delivery = { readonly topic: string; readonly partition: number };
export type Health = { readonly ok: boolean; readonly reason?: string };
export type Subscription = { stop(): Promise<void>; health(): Health };

export type SubscribeOptions = {
  /** Members of one group share the partitions: each is with one member at a time. */
  readonly group: string;
  readonly topics: readonly string[];
  /** Where a new group starts; true unless told: the log is the truth, and a wiped bus is filled anew. */
  readonly fromBeginning?: boolean;
  /** Events in one call at most, 100 unless told. */
  readonly maxBatch?: number;
  /**
   * Of these types events may be left out, as if they were handled: a bus that knows an event's type before it has read it does so. Pure, and
   * of the type as it was published.
   */
  readonly skips?: (type: string) => boolean;
  /** Resolves when the events are dealt with, for good. A throw means: again, the same events, after a pause. See consume.ts. */
  readonly handle: (events: readonly CloudEvent[], delivery: Delivery) => Promise<void>;
};

export type BusDescription = {
  readonly kind: string;
  readonly version?: string;
  readonly brokers?: string[];
  /** Changes when the bus was made anew, so that what was published is gone. The relay then publishes the whole log again. */
  readonly identity: string;
};

/** At least once, in order per partition key. What consumers need beyond that is in consume.ts. */
export interface EventBus {
  readonly kind: 'embedded' | 'kafka';
  /** Resolves when the bus has all of it, in its order; what it rejects may be there in part: publish it again. See `flush`. */
  publish(messages: readonly Message[]): Promise<void>;
  /** Resolves when all that was published before outlives a crash of the bus. Who forgets what it published asks for this first. */
  flush(): Promise<void>;
  subscribe(options: SubscribeOptions): Promise<Subscription>;
  /**
   * All that a topic holds when it is called, from its beginning, in order per partition; nothing is kept of where it came to. Not
   * `complete` where the bus has removed the oldest by age. It ends with what `handle` throws.
   */
  scan(topic: string, handle: (events: readonly CloudEvent[]) => Promise<void>): Promise<{ readonly complete: boolean }>;
  /** Makes what is missing. The partitions of a topic that exists stay as they are: keys would move otherwise. */
  ensureTopics(topics: readonly Topic[]): Promise<void>;
  has(topic: string): Promise<boolean>;
  /** Removes what every group of a topic has handled, and says how much; nothing where the bus forgets by age, as the topic's settings say. */
  forget(topic: string): Promise<number>;
  describe(): Promise<BusDescription>;
  /**
   * The number of the connection that publications go over, or that the next one will make. Where it has changed, what is at its other
   * end may be another bus. A bus that has no connections of its own does without.
   */
  line?(): number;
  close(): Promise<void>;
}
