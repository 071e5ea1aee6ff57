import { createRequire } from 'node:module';
import { afterEach, expect, jest, test } from '@jest/globals';
import '../kafka/bus.ts';

type Queue = { pending: object[]; throttledUntil: number; checkPendingRequests(): void; scheduleCheckPendingRequests(): void };
const RequestQueue = createRequire(import.meta.url)('kafkajs/src/network/requestQueue') as new (o: object) => Queue;
const opened = (): Queue =>
  new RequestQueue({ maxInFlightRequests: 1, requestTimeout: 1_000, enforceRequestTimeout: false, clientId: 'c', broker: 'b', logger: {} });

afterEach(() => {
  jest.restoreAllMocks();
});

/** The times of the timers that it sets. */
const timers = (): number[] => {
  const set: number[] = [];
  jest.spyOn(globalThis, 'setTimeout').mockImplementation(((_: () => void, ms: number) => set.push(ms)) as never);
  return set;
};

test('a connection of kafkajs on which nothing waits sets no timer, and none for a time that is past', () => {
  const [queue, set] = [opened(), timers()];
  queue.checkPendingRequests();
  expect(set).toEqual([]);
});

test('what waits is looked for, at once or when the broker takes requests again', () => {
  const set = timers();
  const waiting = opened();
  waiting.pending.push({});
  waiting.scheduleCheckPendingRequests();
  expect(set).toEqual([10]);
  const throttled = opened();
  throttled.throttledUntil = Date.now() + 5_000;
  throttled.checkPendingRequests();
  expect(set[1]).toBeGreaterThan(4_000);
});
