import { expect, test } from '@jest/globals';
import { ConcurrentAppend } from '@chrysalis/event-store';
import { canonicalJson } from '@chrysalis/kernel';
import { faultyBus, withMethods } from '@chrysalis/testing';
import { consume, type CloudEvent, type EventBus } from '../../index.ts';
import { cloudEvent, count, effect, effects, newEvent, numberOf, sleep, until, upTo } from '../support.ts';
import type { Adapter, Rig } from './rig.ts';

/** What a consumer does happens once and in order, whatever comes twice, late or beside others. */
export const effectsOnce = (adapter: Adapter, now: () => Rig): void => {
  test('a member joins and leaves while events flow: effects once and in order', async () => {
    const { store, topic, group, newBus, prepared, publish } = now();
    const consumer = `rebalance-${group}`;
    const [one, other] = [await prepared(6), newBus(1)];
    const handling = new Map<number, string>();
    let overlaps = 0;
    const join = (bus: EventBus, name: string) => {
      const watched = watch(bus, (partition, busy) => {
        if (busy && handling.has(partition) && handling.get(partition) !== name) overlaps++;
        if (busy) handling.set(partition, name);
        else handling.delete(partition);
      });
      return consume({ bus: watched, store, consumer, group, topics: [topic], maxBatch: 5, handle: effect(consumer) });
    };
    const keys = upTo(12).map((k) => `key-${k}`);
    const feed = async (from: number, to: number): Promise<void> => {
      for (const n of upTo(to, from)) {
        await publish(
          one,
          keys.map((key) => cloudEvent(key, n)),
        );
        await sleep(5);
      }
    };
    const a = await join(one, 'a');
    await feed(1, 20);
    const b = await join(other, 'b');
    await feed(21, 80);
    await until('both work', () => b.counts.handled > 0);
    await b.stop();
    await feed(81, 100);
    await until('all effects', async () => (await count(store, consumer)) >= 1_200);
    const done = await effects(store, consumer);
    for (const key of keys) expect(done[key]).toEqual(upTo(100));
    expect(b.counts.handled).toBeGreaterThan(0);
    if (adapter.handsOverCleanly) expect(overlaps).toBe(0);
    await a.stop();
  }, 60_000);

  test('of what a consumer does not want nothing is kept, and what it wants comes in order', async () => {
    const { store, topic, group, prepared, publish } = now();
    const consumer = `choosing-${group}`;
    const bus = await prepared(2);
    const wants = (event: CloudEvent): boolean => numberOf(event) % 3 === 0;
    const consumption = await consume({ bus, store, consumer, group, topics: [topic], wants, handle: effect(consumer) });
    const events = upTo(30).flatMap((n) => ['a', 'b'].map((key) => cloudEvent(key, n)));
    await publish(bus, events);
    await publish(bus, events.slice(0, 20)); // again
    await until('all it wants', async () => (await count(store, consumer)) >= 20);
    await publish(bus, [cloudEvent('a', 31), cloudEvent('a', 33)]);
    await until('the last', async () => (await effects(store, consumer))['a']?.includes(33) === true);
    const thirds = upTo(10).map((n) => 3 * n);
    expect(await effects(store, consumer)).toEqual({ a: [...thirds, 33], b: thirds });
    const { rows } = await store.pool.query(`select count(*)::int as n from ${store.schema}.inbox where consumer = $1`, [consumer]);
    expect(rows[0].n).toBe(21);
    await consumption.stop();
  });

  test('contention is no fault: many keys that decide on one stream, and deadlocks, are all handled and none parked', async () => {
    const { store, topic, group, prepared, publish } = now();
    const consumer = `contended-${group}`;
    const bus = await prepared(6);
    let deadlocks = 0;
    const consumption = await consume({
      bus,
      store,
      consumer,
      group,
      topics: [topic],
      attempts: 1,
      handle: async (event, tx) => {
        if (event.subject === 'key-1' && deadlocks++ < 6) throw Object.assign(new Error('deadlock detected'), { code: '40P01' });
        const expected = (await store.read(consumer, {}, tx)).length;
        await sleep(3);
        const appended = await store.append({ stream: consumer, expected, events: [newEvent({ n: numberOf(event) })] }, tx);
        if (!appended.ok) throw new ConcurrentAppend([consumer]);
        await sleep(3);
      },
    });
    await publish(
      bus,
      upTo(60).map((n) => cloudEvent(`key-${n}`, n)),
    );
    await until('all are handled', () => consumption.counts.handled + consumption.counts.parked >= 60);
    expect(consumption.counts).toMatchObject({ handled: 60, parked: 0 });
    const numbers = (await store.read(consumer)).map(({ data }) => (data as { n: number }).n);
    expect(numbers.toSorted((a, b) => a - b)).toEqual(upTo(60));
    await consumption.stop();
  }, 60_000);

  test('I5: a third delivered twice or more, reordered, delayed: the end state is that of a clean run', async () => {
    const { store, topic, group, newBus, prepared, publish } = now();
    const bus = await prepared(3);
    const keys = upTo(8).map((k) => `key-${k}`);
    const events = upTo(40).flatMap((n) => keys.map((key) => cloudEvent(key, n)));
    const run = async (name: string, on: EventBus): Promise<{ hash: string; repeated: number }> => {
      const consumer = `${name}-${group}`;
      const consumption = await consume({ bus: on, store, consumer, group: consumer, topics: [topic], handle: effect(consumer) });
      await until(`${name}: all`, async () => (await count(store, consumer)) >= events.length);
      await sleep(50);
      await consumption.stop();
      return { hash: canonicalJson(await effects(store, consumer)), repeated: consumption.counts.repeated };
    };
    await publish(bus, events);
    const clean = await run('clean', bus);
    for (const seed of [1, 2, 3]) {
      const faulty = await run(`faulty-${seed}`, faultyBus(newBus(seed), { seed }));
      expect(faulty.hash).toBe(clean.hash);
      expect(faulty.repeated).toBeGreaterThan(events.length / 4);
    }
  }, 60_000);
};

/** Tells of each call of a handler: partition, begin or end. */
const watch = (bus: EventBus, tell: (partition: number, busy: boolean) => void): EventBus =>
  withMethods(bus, {
    subscribe: (options) =>
      bus.subscribe({
        ...options,
        handle: async (events, delivery) => {
          tell(delivery.partition, true);
          try {
            await options.handle(events, delivery);
          } finally {
            tell(delivery.partition, false);
          }
        },
      }),
  });
