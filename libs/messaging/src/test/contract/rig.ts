import { afterAll, afterEach, beforeAll, beforeEach } from '@jest/globals';
import type { EventStore } from '@chrysalis/event-store';
import type { TemporaryDatabase } from '@chrysalis/testing';
import type { BusConfig, CloudEvent, EventBus } from '../../index.ts';
import { openStore } from '../support.ts';

export type Harness = {
  /** A bus as another process would have it; `n` tells them apart. */
  open(n: number): EventBus;
  /** The same, for a process of its own. */
  readonly config: BusConfig;
};

export type Adapter = {
  readonly name: string;
  open(db: TemporaryDatabase): Promise<Harness>;
  /** A harness whose bus can be destroyed, with all that it holds. */
  openDestructible(db: TemporaryDatabase): Promise<Harness & { destroy(): Promise<void> }>;
  close(): Promise<void>;
  /** Whether a partition moves only after the batch in hand is done. kafkajs gives no such promise: there the inbox keeps order. */
  readonly handsOverCleanly: boolean;
};

/** What a test of the contract has: a topic and a group of its own, and buses that are closed when it is over. */
export type Rig = {
  readonly store: EventStore;
  readonly harness: Harness;
  readonly topic: string;
  readonly group: string;
  newBus(n?: number): EventBus;
  /** A bus that has the topic, with so many partitions. */
  prepared(partitions: number): Promise<EventBus>;
  publish(bus: EventBus, events: readonly CloudEvent[]): Promise<void>;
};

/** Opens it around the tests of the suite; what is answered gives that of the test that runs. */
export const rigFor = (adapter: Adapter): (() => Rig) => {
  let db: TemporaryDatabase;
  let store: EventStore;
  let harness: Harness;
  let topic: string;
  let group: string;
  let open: EventBus[] = [];
  beforeAll(async () => {
    ({ db, store } = await openStore({ max: 20 }));
    harness = await adapter.open(db);
  }, 300_000); // a Kafka may have to be fetched first
  afterAll(async () => {
    await adapter.close();
    await db?.drop();
  });
  beforeEach(() => {
    const id = crypto.randomUUID().slice(0, 8);
    [topic, group] = [`contract.${id}`, `group-${id}`];
  });
  afterEach(async () => {
    await Promise.all(open.map((bus) => bus.close()));
    open = [];
  });

  const newBus = (n = 0): EventBus => {
    const bus = harness.open(n);
    open.push(bus);
    return bus;
  };
  const prepared = async (partitions: number): Promise<EventBus> => {
    const bus = newBus();
    await bus.ensureTopics([{ name: topic, partitions }]);
    return bus;
  };
  const publish = (bus: EventBus, events: readonly CloudEvent[]): Promise<void> => bus.publish(events.map((event) => ({ topic, event })));
  return () => ({ store, harness, topic, group, newBus, prepared, publish });
};
