import { expect, test } from '@jest/globals';
import type { CloudEvent } from '../../index.ts';
import { cloudEvent, numberOf, until, upTo } from '../support.ts';
import { runMember } from './killed-member.ts';
import type { Adapter, Rig } from './rig.ts';

/** What is published comes: all of it, in the order of each key, also after who had it in hand was killed. */
export const delivery = (adapter: Adapter, now: () => Rig): void => {
  test('keeps the order of each key, over many publications, and what it carries', async () => {
    const { topic, group, prepared, publish } = now();
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
    const { topic, group, prepared, publish } = now();
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
    const { topic, group, newBus, prepared, publish } = now();
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
    const { topic, group, newBus, publish } = now();
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
    const { harness, topic, group, prepared, publish } = now();
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

  test('a handler that cannot even park is asked again, and health says why', async () => {
    const { topic, group, prepared, publish } = now();
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
};
