import { EventEmitter } from 'node:events';
import { expect, jest, test } from '@jest/globals';
import { endOnce } from './end-once.ts';

test.each([
  ['SIGINT', 'SIGINT'],
  ['SIGINT', 'SIGTERM'],
  ['SIGINT', 'disconnect'],
  ['disconnect', 'SIGINT'],
])('%s and then %s end it once, and the second does not cut the first off', async (first, second) => {
  const exit = jest.fn<(code: number) => void>();
  const process = Object.assign(new EventEmitter(), { exit });
  const stopped = Promise.withResolvers<void>();
  const stop = jest.fn(() => stopped.promise);
  endOnce(process, stop, true);
  process.emit(first);
  // Node ends a process by a signal that nobody listens to.
  for (const signal of ['SIGINT', 'SIGTERM']) expect(process.listenerCount(signal)).toBe(1);
  process.emit(second);
  expect([stop.mock.calls.length, exit.mock.calls.length]).toEqual([1, 0]);
  stopped.resolve();
  await new Promise(setImmediate);
  expect(exit.mock.calls).toEqual([[0]]);
});
