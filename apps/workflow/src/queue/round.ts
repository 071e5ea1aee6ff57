import { instanceQueued } from '@chrysalis/contracts';
import type { EventStore } from '@chrysalis/event-store';
import { nextToStart, paceAfter } from '@chrysalis/workflow-core';
import type pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import * as sql from './sql.ts';

const MOST = 100;
/** `admitted` are the caller's to start once the transaction is committed. `more`: others wait, or could be looked at at once. */
export type Round = { readonly admitted: readonly sql.QueueRow[]; readonly waiting: boolean; readonly full: boolean };

/**
 * Lets in who may start, and has the others' streams say that they wait: in the caller's transaction, which holds the lock to its end. So
 * rounds of any number of instances come one after another, and none counts what another has not committed.
 */
export const round = async (tx: pg.PoolClient, store: EventStore): Promise<Round> => {
  const { schema } = store;
  await sql.lock(tx, schema);
  const { now, limits, waiting, running } = await sql.look(tx, schema, MOST);
  if (waiting.length === 0) return { admitted: [], waiting: false, full: false };
  const chosen = nextToStart(limits ?? {}, running, waiting, now, MOST);
  const admitted = chosen.length > 0 ? await sql.admit(tx, schema, chosen) : [];
  await keepPace(tx, schema, admitted, now);
  const left = chosen.length < waiting.length;
  if (left) await announce(tx, store);
  return { admitted, waiting: left, full: chosen.length === MOST };
};

/** Only who had to wait tells how fast the queue moves. */
const keepPace = async (tx: pg.PoolClient, schema: string, admitted: readonly sql.QueueRow[], now: number): Promise<void> => {
  const drained = Map.groupBy(
    admitted.filter((row) => row.announced),
    (row) => row.tenant,
  );
  if (drained.size === 0) return;
  const before = await sql.paceOf(tx, schema, [...drained.keys()]);
  await sql.setPace(tx, schema, new Map([...drained].map(([tenant, rows]) => [tenant, paceAfter(before.get(tenant), rows.length, now)])));
};

/** A stream that is there already belongs to a request that was taken before: its row is a repetition, and goes. */
const announce = async (tx: pg.PoolClient, store: EventStore): Promise<void> => {
  const told: string[] = [];
  const repeated: string[] = [];
  for (const row of await sql.unannounced(tx, store.schema, MOST)) {
    const appended = await store.append({ stream: `workflow-${row.workflowId}`, expected: 'noStream', events: [queuedEvent(row)] }, tx);
    (appended.ok ? told : repeated).push(row.workflowId);
  }
  if (told.length > 0) await sql.setAnnounced(tx, store.schema, told);
  if (repeated.length > 0) await sql.remove(tx, store.schema, repeated);
};

const queuedEvent = ({ workflowId, subject, tenant, name, version, summary, tasks, priority, queuedAt, expiresAt, meta }: sql.QueueRow) => {
  const at = queuedAt.toISOString();
  const data = { workflowId, subject, tenant, name, version, summary, tasks, priority, at, expiresAt: expiresAt.toISOString() };
  return { id: uuidv7(), type: instanceQueued.type, data, meta: { ...meta, at } };
};
