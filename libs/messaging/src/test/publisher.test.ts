import { expect, test } from '@jest/globals';
import type { StoredEvent } from '@chrysalis/event-store';
import { cloudEvent } from './support.ts';
import { publish } from '../relay/publisher.ts';
import type { RelayState } from '../relay/types.ts';

/** A relay whose bus can be another one at the other end of a new connection, without a publication that fails. */
const relay = () => {
  const at = { line: 1, identity: 'first', sent: 0, looks: 0 };
  let saved: { detail: Record<string, unknown> } | undefined = { detail: { bus: 'first' } };
  const state = {
    options: {
      bus: {
        line: () => at.line,
        describe: async () => (at.looks++, { kind: 'test', identity: at.identity }),
        publish: async () => void at.sent++,
      },
      store: {
        loadCheckpoint: async () => saved,
        saveCheckpoint: async (_name: string, _at: unknown, detail: Record<string, unknown>) => void (saved = { detail }),
      },
      route: () => [{ topic: 't', event: cloudEvent('k', 1) }],
    },
    faults: new Map(),
    published: 0,
    replay: false,
    line: undefined,
  } as unknown as RelayState;
  return { at, state, saved: () => saved?.detail };
};
const events = [{}] as StoredEvent[];
const lead = { lost: () => false };

test('over a new connection nothing goes before the bus is known to be the same, and over an old one nobody asks', async () => {
  const { at, state } = relay();
  for (const line of [1, 1, 1, 2, 2]) {
    at.line = line;
    expect(await publish(state, events, lead)).toBe('done');
  }
  expect(at).toMatchObject({ sent: 5, looks: 2 });
});

test('a bus that was made anew between two publications gets the log from its beginning first, also when none of them failed', async () => {
  const { at, state, saved } = relay();
  expect(await publish(state, events, lead)).toBe('done');
  Object.assign(at, { line: 2, identity: 'second' });
  expect(await publish(state, events, lead)).toBe('replay');
  expect(at.sent).toBe(1);
  expect(saved()).toEqual({ bus: 'second', replay: true });
});
