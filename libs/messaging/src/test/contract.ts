import { spawn } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { ConcurrentAppend, type EventStore } from '@chrysalis/event-store';
import { canonicalJson } from '@chrysalis/kernel';
import { faultyBus, type TemporaryDatabase } from '@chrysalis/testing';
import {
  consume,
  listParked,
  Poison,
  requestRedrive,
  startRelay,
  toCloudEvent,
  type BusConfig,
  type CloudEvent,
  type EventBus,
} from '../index.ts';
import { cloudEvent, count, effect, effects, newEvent, numberOf, openStore, sleep, until, upTo } from './support.ts';

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

const register = fileURLToPath(new URL('../../../../tools/node/register.mjs', import.meta.url));
const member = fileURLToPath(new URL('./member.ts', import.meta.url));

/** What services rely on, whichever bus is under them. */
export const busContract = (adapter: Adapter): void => {
  describe(`the event bus: ${adapter.name}`, () => {
    let db: TemporaryDatabase;
    let store: EventStore;
    let harness: Harness;
    let topic: string;
    let group: string;
    let open: EventBus[] = [];
    const newBus = (n = 0): EventBus => {
      const bus = harness.open(n);
      open.push(bus);
      return bus;
    };

    beforeAll(async () => {
      ({ db, store } = await openStore({ max: 20 }));
      harness = await adapter.open(db);
    });
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

    const prepared = async (partitions: number): Promise<EventBus> => {
      const bus = newBus();
      await bus.ensureTopics([{ name: topic, partitions }]);
      return bus;
    };
    const publish = (bus: EventBus, events: readonly CloudEvent[]): Promise<void> => bus.publish(events.map((event) => ({ topic, event })));

    test('keeps the order of each key, over many publications, and what it carries', async () => {
      const bus = await prepared(4);
      const sent: CloudEvent[] = [];
      for (let n = 1; n <= 30; n++) {
        const batch = upTo(10).map((k) => ({
          ...cloudEvent(`key-${k}`, n),
          causationid: 'x',
          streamversion: n,
          data: { n, text: 'ü\u{1F98B}' },
        }));
        sent.push(...batch);
        await publish(bus, batch);
      }
      const received: CloudEvent[] = [];
      await bus.subscribe({ group, topics: [topic], maxBatch: 7, handle: async (events) => void received.push(...events) });
      await until('all are there', () => received.length >= sent.length);
      for (const k of upTo(10))
        expect(received.filter((e) => e.subject === `key-${k}`)).toEqual(sent.filter((e) => e.subject === `key-${k}`));
      expect(received.length).toBe(sent.length);
    });

    test('takes what services let in, however large: each of 1 MiB and more, and many of them at once, in order', async () => {
      const bus = await prepared(1);
      const large = (n: number, size: number): CloudEvent => ({ ...cloudEvent('large', n), data: { n, text: 'x'.repeat(size) } });
      const sizes = [1 << 20, 700_000, 700_000, 10, 700_000, (1 << 20) + 200_000, 10];
      await publish(
        bus,
        sizes.map((size, i) => large(i + 1, size)),
      );
      const received: number[] = [];
      const handle = async (events: readonly CloudEvent[]): Promise<void> => void received.push(...events.map(numberOf));
      await bus.subscribe({ group, topics: [topic], handle });
      await until('all are there', () => received.length >= sizes.length);
      expect(received).toEqual(upTo(sizes.length));
    });

    test('a scan gives all that a topic holds, in order per key, and takes nothing from a group', async () => {
      const bus = await prepared(3);
      expect(await bus.scan(topic, () => Promise.reject(new Error('nothing is there yet')))).toEqual({ complete: true });
      const keys = ['a', 'b', 'c', 'd'];
      for (const n of upTo(300))
        await publish(
          bus,
          keys.map((key) => cloudEvent(key, n)),
        );
      const scan = async (): Promise<Record<string, number[]>> => {
        const seen: Record<string, number[]> = {};
        await newBus(1).scan(topic, async (events) => {
          for (const event of events) (seen[event.subject] ??= []).push(numberOf(event));
        });
        return seen;
      };
      const all = Object.fromEntries(keys.map((key) => [key, upTo(300)]));
      expect(await scan()).toEqual(all);
      const received: number[] = [];
      await bus.subscribe({ group, topics: [topic], handle: async (events) => void received.push(...events.map(numberOf)) });
      await until('the group has all', () => received.length >= 1_200);
      expect(await scan()).toEqual(all);
      await expect(bus.scan(topic, () => Promise.reject(new Error('no more')))).rejects.toThrow('no more');
    });

    test('ensuring topics again changes nothing, also at the same time', async () => {
      const [one, other] = [newBus(1), newBus(2)];
      const topics = [{ name: topic, partitions: 3 }];
      await Promise.all([one.ensureTopics(topics), other.ensureTopics(topics).catch(() => other.ensureTopics(topics))]);
      await other.ensureTopics([{ name: topic, partitions: 5 }]);
      const seen = new Set<number>();
      await publish(
        one,
        upTo(60).map((n) => cloudEvent(`key-${n}`, n)),
      );
      await other.subscribe({ group, topics: [topic], handle: async (_, { partition }) => void seen.add(partition) });
      await until('three partitions', () => seen.size === 3);
      expect(await one.describe()).toMatchObject({ kind: adapter.name, identity: (await other.describe()).identity });
    });

    test('delivers again what a killed member had in hand, in order', async () => {
      const bus = await prepared(2);
      const keys = ['a', 'b', 'c', 'd'];
      await publish(
        bus,
        upTo(25).flatMap((n) => keys.map((key) => cloudEvent(key, n))),
      );
      const first = await runMember({ bus: harness.config, group, topic, hangAt: 17 });
      const received: Record<string, number[]> = {};
      const handle = async (events: readonly CloudEvent[]): Promise<void> => {
        for (const event of events) (received[event.subject] ??= []).push(numberOf(event));
      };
      await bus.subscribe({ group, topics: [topic], handle });
      await until('all of it', () => keys.every((key) => received[key]?.at(-1) === 25));
      for (const key of keys) {
        // What is delivered again joins on to what the first one had without a gap.
        const [from] = received[key] as [number];
        expect(received[key]).toEqual(upTo(25, from));
        expect(from).toBeLessThanOrEqual((first[key]?.at(-1) ?? 0) + 1);
      }
      expect(keys.some((key) => received[key]![0]! <= (first[key]?.at(-1) ?? 0))).toBe(true);
    }, 60_000);

    test('a member joins and leaves while events flow: effects once and in order', async () => {
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

    test('parks poison and what follows under its key; the partition goes on; redrive keeps order', async () => {
      const consumer = `parking-${group}`;
      const bus = await prepared(1);
      let cured = false;
      let tries = 0;
      const run = effect(consumer);
      const consumption = await consume({
        bus,
        store,
        consumer,
        group,
        topics: [topic],
        attempts: 3,
        backoffMs: 5,
        handle: async (event, tx) => {
          if (event.subject === 'bad' && numberOf(event) === 3 && !cured) {
            tries++;
            await run(event, tx); // done, then failed: must not stay
            throw new Error('does not compute');
          }
          await run(event, tx);
        },
      });
      const events = upTo(8).flatMap((n) => ['bad', 'good'].map((key) => cloudEvent(key, n)));
      await publish(bus, events);
      await until('the good ones are done', async () => (await effects(store, consumer))['good']?.length === 8);
      expect((await effects(store, consumer))['bad']).toEqual([1, 2]);
      expect(tries).toBeGreaterThanOrEqual(3);
      await publish(bus, events.slice(4, 8)); // again: the parked stay parked once, the done stay done
      await publish(bus, [cloudEvent('bad', 9), cloudEvent('good', 9)]);
      await until('the next is parked too', async () => (await listParked(store, { consumer })).length === 7);
      const parked = await listParked(store, { consumer });
      expect(parked.map((p) => numberOf(p.event))).toEqual(upTo(9, 3));
      expect(parked[0]).toMatchObject({ key: 'bad', topic, reason: 'does not compute', attempts: 3 });
      expect(parked[1]!.reason).toBe(`behind ${parked[0]!.eventId}`);

      await consumption.redrive(); // still poison: it stays, and so does the rest
      expect((await listParked(store, { consumer }))[0]).toMatchObject({ attempts: 4 });
      expect(await listParked(store, { consumer })).toHaveLength(7);
      cured = true;
      expect(await requestRedrive(store, { consumer, key: 'bad' })).toBe(7);
      await until('all redriven', async () => (await listParked(store, { consumer })).length === 0);
      await publish(bus, [cloudEvent('bad', 10)]);
      await until('the key flows again', async () => (await effects(store, consumer))['bad']?.length === 10);
      expect(await effects(store, consumer)).toEqual({ bad: upTo(10), good: upTo(9) });
      await consumption.stop();
    }, 60_000);

    test('contention is no fault: many keys that decide on one stream, and deadlocks, are all handled and none parked', async () => {
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

    test('a redrive that meets contention is done all the same, and its event has no further fault', async () => {
      const consumer = `redrive-contended-${group}`;
      const bus = await prepared(1);
      let state: 'poison' | 'contended' | 'cured' = 'poison';
      const run = effect(consumer);
      const handle: Parameters<typeof consume>[0]['handle'] = async (event, tx) => {
        if (state === 'poison') throw new Poison('not yet');
        if (state === 'contended') {
          state = 'cured';
          throw new ConcurrentAppend(['hot']);
        }
        await run(event, tx);
      };
      const consumption = await consume({ bus, store, consumer, group, topics: [topic], handle });
      await publish(
        bus,
        upTo(3).map((n) => cloudEvent('k', n)),
      );
      await until('all parked', async () => (await listParked(store, { consumer })).length === 3);
      state = 'contended';
      expect(await consumption.redrive('k')).toEqual({ redriven: 3, failed: 0 });
      expect(await effects(store, consumer)).toEqual({ k: upTo(3) });
      await consumption.stop();
    });

    test('events that arrive while their key is redriven come after it', async () => {
      const consumer = `redrive-${group}`;
      const bus = await prepared(1);
      let cured = false;
      const run = effect(consumer);
      const handle: Parameters<typeof consume>[0]['handle'] = async (event, tx) => {
        if (!cured) throw new Poison('not yet');
        await sleep(2);
        await run(event, tx);
      };
      const consumption = await consume({ bus, store, consumer, group, topics: [topic], handle });
      await publish(
        bus,
        upTo(40).map((n) => cloudEvent('k', n)),
      );
      await until('all parked', async () => (await listParked(store, { consumer })).length === 40);
      cured = true;
      const redriving = consumption.redrive('k');
      for (const n of upTo(80, 41)) await publish(bus, [cloudEvent('k', n)]);
      await redriving;
      await until('all done', async () => {
        await consumption.redrive();
        return (await count(store, consumer)) === 80;
      });
      expect(await effects(store, consumer)).toEqual({ k: upTo(80) });
      await consumption.stop();
    }, 60_000);

    test('I5: a third delivered twice or more, reordered, delayed: the end state is that of a clean run', async () => {
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

    test('a handler that cannot even park is asked again, and health says why', async () => {
      const bus = await prepared(1);
      let broken = true;
      const seen: number[] = [];
      const subscription = await bus.subscribe({
        group,
        topics: [topic],
        handle: async (events) => {
          if (broken) throw new Error('the disk is full');
          seen.push(...events.map(numberOf));
        },
      });
      await publish(
        bus,
        upTo(5).map((n) => cloudEvent('k', n)),
      );
      await until('health tells', () => !subscription.health().ok);
      expect(subscription.health().reason).toContain('the disk is full');
      broken = false;
      await until('delivered', () => seen.length >= 5);
      expect(seen).toEqual(upTo(5));
      await until('health is well again', () => subscription.health().ok);
    });

    test.each(['logical', 'poll'] as const)(
      'the whole bus is lost: the relay (%s) publishes the log again, nothing is missing',
      async (mode) => {
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
          await until('a replay', () => relay.status().published >= 60 + 60, 45_000);
          parts.push(await start());
          await until('all effects', async () => (await count(own.store, consumer)) >= 90, 45_000);
          expect(await effects(own.store, consumer)).toEqual({ a: upTo(30), b: upTo(30), c: upTo(30) });
          await until('all effects of who stayed', async () => (await count(own.store, idle)) >= 90, 60_000);
          expect(await effects(own.store, idle)).toEqual({ a: upTo(30), b: upTo(30), c: upTo(30) });
        } finally {
          await Promise.all(parts.map((part) => part.stop()));
          await bus.close();
          await own.db.drop();
        }
      },
      120_000,
    );
  });
};

/** Tells of each call of a handler: partition, begin or end. */
const watch = (bus: EventBus, tell: (partition: number, busy: boolean) => void): EventBus =>
  new Proxy(bus, {
    get: (target, name) => {
      const value = Reflect.get(target, name, target) as unknown;
      if (name !== 'subscribe') return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      const subscribe: EventBus['subscribe'] = (options) =>
        target.subscribe({
          ...options,
          handle: async (events, delivery) => {
            tell(delivery.partition, true);
            try {
              await options.handle(events, delivery);
            } finally {
              tell(delivery.partition, false);
            }
          },
        });
      return subscribe;
    },
  });

/** Runs a member until it hangs in the middle of a batch, then kills it. Returns what it had been given, by key. */
const runMember = async (options: { bus: BusConfig; group: string; topic: string; hangAt: number }): Promise<Record<string, number[]>> => {
  const { pool: _, ...bus } = options.bus as { pool?: unknown; kind: string };
  const args = ['--import', register, member, JSON.stringify({ ...options, bus })];
  const env = { ...process.env };
  delete env['NODE_OPTIONS'];
  const child = spawn(process.execPath, args, {
    cwd: path.resolve(path.dirname(register), '../..'),
    stdio: ['ignore', 'pipe', 'inherit'],
    env,
  });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  try {
    await until('the member hangs', () => {
      if (child.exitCode !== null) throw new Error(`the member ended by itself (${child.exitCode})`);
      return text.includes(` ${options.hangAt}\n`);
    });
    await sleep(200);
  } finally {
    const gone = new Promise((resolve) => child.once('exit', resolve));
    if (child.exitCode === null && child.kill('SIGKILL')) await gone;
  }
  const given: Record<string, number[]> = {};
  for (const line of text.trim().split('\n')) {
    const [key, n] = line.split(' ') as [string, string];
    (given[key] ??= []).push(Number(n));
  }
  return given;
};
