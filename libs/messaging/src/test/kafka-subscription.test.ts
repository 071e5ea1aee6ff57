import { expect, test } from '@jest/globals';
import type { Kafka } from 'kafkajs';
import { KafkaSubscription } from '../kafka/subscription.ts';
import { until } from './support.ts';

/** What one consumer does after the other: of kafkajs 2.2.4, whose `run` resolves also where the join failed and it has crashed. */
type Fate = 'joins' | 'crashes in run' | 'crashes later' | 'cannot connect';

/** kafkajs as far as a subscription sees it; after the script's end every consumer joins. */
const scripted = (script: readonly Fate[]) => {
  let made = 0;
  let joined: number | undefined;
  const consumer = () => {
    const n = made++;
    const fate = script[n] ?? 'joins';
    const listeners = new Map<string, (event: { payload: { error: Error } }) => void>();
    const crash = (reason: string): void => {
      if (joined === n) joined = undefined;
      listeners.get('crash')?.({ payload: { error: new Error(reason) } });
    };
    const nothing = (): Promise<void> => Promise.resolve();
    return {
      events: { CRASH: 'crash', REBALANCING: 'rebalancing', GROUP_JOIN: 'join' },
      on: (name: string, listener: () => void) => void listeners.set(name, listener),
      connect: () => (fate === 'cannot connect' ? Promise.reject(new Error('no broker')) : nothing()),
      subscribe: nothing,
      commitOffsets: nothing,
      disconnect: nothing,
      run: async () => {
        await nothing();
        if (fate === 'crashes in run') return crash('the coordinator is not available');
        joined = n;
        listeners.get('join')?.({ payload: { error: new Error('none') } });
        if (fate === 'crashes later') setTimeout(() => crash('the connection was closed'), 10);
      },
    };
  };
  return { kafka: { consumer } as unknown as Kafka, made: () => made, isJoined: () => joined !== undefined && joined === made - 1 };
};

test.each<readonly Fate[]>([
  ['crashes later', 'joins'],
  ['crashes later', 'crashes in run', 'joins'],
  ['crashes in run', 'joins'],
  ['crashes in run', 'crashes in run', 'crashes later', 'joins'],
  ['crashes later', 'cannot connect', 'crashes in run', 'joins'],
])('a consumer that crashes, also while it is started again, is started until it is a member: %s, %s, %s, %s', async (...script) => {
  const fates = script.filter((fate) => fate !== undefined);
  const { kafka, made, isJoined } = scripted(fates);
  const options = { group: 'g', topics: ['t'], handle: () => Promise.resolve() };
  const subscription = new KafkaSubscription(kafka, options, () => Promise.resolve());
  await subscription.start();
  await until('the last one is a member', () => made() === fates.length && isJoined());
  expect(subscription.health()).toEqual({ ok: true });
  await subscription.stop();
});
