import { expect, test } from '@jest/globals';
import { consume, startRelay, toCloudEvent } from '../../index.ts';
import { count, effect, effects, newEvent, openStore, until, upTo } from '../support.ts';
import type { Adapter, Rig } from './rig.ts';

/** A bus that is lost with all that it held is filled again from the log. */
export const lostBus = (adapter: Adapter, now: () => Rig): void => {
  test.each(['logical', 'poll'] as const)(
    'the whole bus is lost: the relay (%s) publishes the log again, nothing is missing',
    async (mode) => {
      const { topic, group } = now();
      const own = await openStore({ max: 12 });
      const doomed = await adapter.openDestructible(own.db);
      const bus = doomed.open(0);
      const consumer = 'survivor';
      const parts: { stop(): Promise<void> }[] = [];
      try {
        await bus.ensureTopics([{ name: topic, partitions: 3 }]);
        const route = (stored: Parameters<typeof toCloudEvent>[0]) => [{ topic, event: toCloudEvent(stored, { context: 'test' }) }];
        const relay = await startRelay({ store: own.store, schema: 'shop', bus, mode, route });
        parts.push(relay);
        const append = async (from: number, to: number): Promise<void> => {
          for (const n of upTo(to, from))
            for (const stream of ['a', 'b', 'c']) await own.store.append({ stream, expected: n - 1, events: [newEvent({ n })] });
        };
        const start = () => consume({ bus, store: own.store, consumer, group, topics: [topic], handle: effect(consumer) });
        const idle = 'idle';
        const live = await consume({ bus, store: own.store, consumer: idle, group: idle, topics: [topic], handle: effect(idle) });
        parts.push(live);
        const before = await start();
        await append(1, 10);
        await until('the first are done', async () => (await count(own.store, consumer)) === 30);
        await before.stop();
        await append(11, 20); // published, and not consumed
        await until('the next are published', () => relay.status().published >= 60);
        await until('who stays has them', async () => (await count(own.store, idle)) === 60);
        await doomed.destroy();
        await append(21, 30);
        await until('a replay', () => relay.status().published >= 60 + 60);
        parts.push(await start());
        await until('all effects', async () => (await count(own.store, consumer)) >= 90);
        expect(await effects(own.store, consumer)).toEqual({ a: upTo(30), b: upTo(30), c: upTo(30) });
        await until('all effects of who stayed', async () => (await count(own.store, idle)) >= 90);
        expect(await effects(own.store, idle)).toEqual({ a: upTo(30), b: upTo(30), c: upTo(30) });
      } finally {
        await Promise.all(parts.map((part) => part.stop()));
        await bus.close();
        await own.db.drop();
      }
    },
    120_000,
  );
};
