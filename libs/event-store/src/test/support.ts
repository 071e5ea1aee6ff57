import { temporaryDatabase } from '@chrysalis/testing';
import type pg from 'pg';
import { EventStore, migrate, type EventStoreOptions, type NewEvent } from '../index.ts';

export const openStore = async (options: EventStoreOptions & pg.PoolConfig = {}) => {
  const db = await temporaryDatabase({ template: { name: 'event-store', prepare: (_, url) => migrate(url, 'shop') } });
  const { upcast, notify, ...pool } = options;
  const store = new EventStore(db.pool(pool), 'shop', { ...(upcast ? { upcast } : {}), ...(notify ? { notify } : {}) });
  return { db, store };
};

export const event = (data: unknown = {}, more: Partial<NewEvent> = {}): NewEvent => ({
  id: crypto.randomUUID(),
  type: 'chrysalis.test.thing.happened.v1',
  data,
  meta: { at: '2026-01-01T00:00:00.000Z', correlationId: 'c-1', actor: 'user:ann', tenant: 'acme' },
  ...more,
});

export const at = (moment: string, data: unknown = {}): NewEvent => {
  const one = event(data);
  return { ...one, meta: { ...one.meta, at: moment } };
};

/** A seeded source of numbers in [0, 1). */
export const random = (seed: number): (() => number) => {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
};

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
