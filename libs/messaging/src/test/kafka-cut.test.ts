import net from 'node:net';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { StoredEvent } from '@chrysalis/event-store';
import { sharedKafka, skipped, until } from '@chrysalis/testing';
import { createBus, type CloudEvent, type EventBus } from '../index.ts';
import { publish } from '../relay/publisher.ts';
import type { RelayState } from '../relay/types.ts';
import { cloudEvent, numberOf, upTo } from './support.ts';

const LARGE = 500_000;
const topic = `cut-${crypto.randomUUID()}`;

/** The connection on which the second large request is about to go ends instead: all before it has been answered, nothing of it goes. */
const cutBeforeTheSecondPortion = (): { cuts: number } => {
  const seen = { large: 0, cuts: 0 };
  const connect = net.connect.bind(net) as (...given: unknown[]) => net.Socket;
  jest.spyOn(net, 'connect').mockImplementation(((...given: unknown[]) => {
    const socket = connect(...given);
    const write = socket.write.bind(socket) as (...given: unknown[]) => boolean;
    socket.write = ((data: Uint8Array, ...more: unknown[]) => {
      if (data.length <= LARGE || ++seen.large !== 2) return write(data, ...more);
      seen.cuts++;
      socket.destroy();
      return false;
    }) as typeof socket.write;
    return socket;
  }) as typeof net.connect);
  return seen;
};

(skipped('kafka') ? describe.skip : describe)('a publication in several portions, cut between two', () => {
  let bus: EventBus;
  beforeAll(async () => {
    const { brokers } = await sharedKafka();
    bus = createBus({ kind: 'kafka', brokers, clientId: 'cut', log: () => undefined });
    await bus.ensureTopics([{ name: topic, partitions: 3 }]);
  });
  afterAll(async () => {
    jest.restoreAllMocks();
    await bus.close();
  });

  test('goes again over a new connection, behind a look at the bus: nothing is lost, and each key stays in order', async () => {
    const seen = cutBeforeTheSecondPortion();
    const describeBus = jest.spyOn(bus, 'describe');
    const { identity } = await bus.describe();
    const text = 'x'.repeat(200_000);
    const sent = upTo(12).map((n) => ({ ...cloudEvent(n % 2 ? 'odd' : 'even', n), data: { n, text } }));
    const state = {
      options: {
        bus,
        store: { loadCheckpoint: async () => ({ detail: { bus: identity } }), saveCheckpoint: async () => undefined },
        route: (event: CloudEvent) => [{ topic, event }],
      },
      faults: new Map(),
      published: 0,
      replay: false,
      line: undefined,
    } as unknown as RelayState;
    expect(await publish(state, sent as unknown as StoredEvent[], { lost: () => false })).toBe('done');
    expect(seen.cuts).toBe(1);
    expect(describeBus).toHaveBeenCalledTimes(3); // by this test, over the first connection, over the second

    const first = new Map<string, CloudEvent>();
    const scan = () =>
      bus.scan(topic, async (events) => {
        for (const e of events) if (!first.has(e.id)) first.set(e.id, e);
      });
    // A broker that has just started does not coordinate groups at once.
    expect(await until(() => scan().catch(() => false as const), 60_000)).toEqual({ complete: true });
    for (const key of ['odd', 'even'])
      expect([...first.values()].filter((e) => e.partitionkey === key).map(numberOf)).toEqual(
        sent.filter((e) => e.partitionkey === key).map(numberOf),
      );
  });
});
