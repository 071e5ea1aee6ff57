import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { origin, type EventStore } from '@chrysalis/event-store';
import { withMethods, type TemporaryDatabase } from '@chrysalis/testing';
import pg from 'pg';
import type { EventBus } from '../index.ts';
import type { Follower } from '../relay/follower.ts';
import type { RelayState } from '../relay/types.ts';
import { watchSlot } from '../relay/watch-slot.ts';
import { serial } from '../serial.ts';
import { openStore, until } from './support.ts';

let db: TemporaryDatabase;
let store: EventStore;
let client: pg.Client;
beforeAll(async () => {
  ({ db, store } = await openStore());
  client = new pg.Client({ connectionString: db.connectionString });
  await client.connect();
});
afterAll(async () => {
  await client?.end();
  await db.drop();
});

const anew = { bus: 'second', replay: true };

test('a bus that is found to be new while the place is moved is published again from the beginning', async () => {
  await client.query(`select pg_create_logical_replication_slot('watched', 'pgoutput')`);
  await store.saveCheckpoint('relay', origin, { bus: 'first' });
  let moves = 0;
  // The publisher finds that the bus is new between the look at the checkpoint and its change.
  const found = async (): Promise<void> => {
    await store.saveCheckpoint('relay', origin, anew);
    moves++;
  };
  const between = withMethods(store, {
    moveCheckpoint: async (...args) => (await found(), store.moveCheckpoint(...args)),
    saveCheckpoint: async (...args) => (await found(), store.saveCheckpoint(...args)),
  });
  const bus = {
    describe: () => Promise.resolve({ kind: 'test', identity: moves > 0 ? 'second' : 'first' }),
  } as Partial<EventBus> as EventBus;
  const state = { options: { store: between, bus }, faults: new Map() } as Partial<RelayState> as RelayState;
  const follower = { stopped: false, done: 1n << 63n, wake: () => undefined, fail: () => undefined };
  const watching = watchSlot(state, serial(client), 'watched', follower as Partial<Follower> as Follower);
  await until('the place was to be moved', () => moves > 0);
  follower.stopped = true;
  await watching;
  expect(await store.loadCheckpoint('relay')).toEqual({ ...origin, detail: anew });
});
