import { withMethods } from './away.ts';

/** What the wrapper needs of a bus: a part of messaging's port, so that this package need not depend on it. */
type Event = { readonly id: string; readonly partitionkey: string };
type Handle = (events: readonly Event[], delivery: unknown) => Promise<void>;
type Subscribe = (options: { readonly handle: Handle }) => Promise<unknown>;

export type Faults = {
  readonly seed: number;
  /** Share of events that come again, 0.3 unless told: at once, later in the batch, or long after. */
  readonly duplicates?: number;
  /** Before each call, 0 to this; 5 ms unless told. */
  readonly maxDelayMs?: number;
};

/**
 * A bus that does to its consumers what at-least-once allows, and no more: events come again, batches are cut anew, keys overtake
 * each other, time passes. The first delivery of a key's events stays in order. Seeded: the same seed, the same faults for the same
 * batches.
 */
export const faultyBus = <B extends { subscribe(options: never): Promise<unknown> }>(bus: B, faults: Faults): B => {
  const { seed, duplicates = 0.3, maxDelayMs = 5 } = faults;
  const chance = random(seed);
  const past: Event[] = [];
  const subscribe: Subscribe = (options) => {
    const handle: Handle = async (events, delivery) => {
      const order = repeat(shuffleKeys(events, chance), past, duplicates, chance);
      for (let start = 0; start < order.length;) {
        const size = 1 + Math.floor(chance() * 8);
        const part = order.slice(start, start + size);
        await new Promise((resolve) => setTimeout(resolve, chance() * maxDelayMs));
        await options.handle(part, delivery);
        if (chance() < duplicates / 3) await options.handle(part, delivery); // the acknowledgement was lost
        start += size;
      }
      past.push(...events);
    };
    return (bus.subscribe as Subscribe).call(bus, { ...options, handle });
  };
  return withMethods<{ subscribe: unknown }>(bus, { subscribe }) as B;
};

/** Any interleaving of the keys; within a key the order stays. */
const shuffleKeys = (events: readonly Event[], chance: () => number): Event[] => {
  const byKey = new Map<string, Event[]>();
  for (const event of events) byKey.set(event.partitionkey, [...(byKey.get(event.partitionkey) ?? []), event]);
  const queues = [...byKey.values()];
  const order: Event[] = [];
  while (queues.length > 0) {
    const at = Math.floor(chance() * queues.length);
    order.push(queues[at]!.shift()!);
    if (queues[at]!.length === 0) queues.splice(at, 1);
  }
  return order;
};

/** Inserts repetitions, each after its first. */
const repeat = (events: readonly Event[], past: readonly Event[], share: number, chance: () => number): Event[] => {
  const order: Event[] = [];
  for (const event of events) {
    order.push(event);
    if (chance() >= share) continue;
    const before = chance() < 0.5 || past.length === 0 ? order : past;
    order.push(before[Math.floor(chance() * before.length)]!);
  }
  return order;
};

/** A seeded source of numbers in [0, 1): mulberry32. */
export const random = (seed: number): (() => number) => {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
};
