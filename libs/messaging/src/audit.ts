import { origin, type EventStore, type Position, type StoredEvent } from '@chrysalis/event-store';
import type pg from 'pg';
import type { CloudEvent, EventBus, Message } from './bus.ts';
import { checkpointName } from './relay/publisher.ts';
import * as sql from './sql/owed.ts';

export type AuditOptions = {
  readonly store: EventStore;
  readonly bus: EventBus;
  /** As the relay has it. */
  readonly route: (event: StoredEvent) => readonly Message[];
  /** Publishes what is missing, in the log's order. Consumers that have had later events of a stream get these after them. */
  readonly fill: boolean;
  /** A connection of the store's database for as long as it takes; a temporary table is made there. */
  readonly client: pg.PoolClient;
};

export type MissingEvent = {
  readonly topic: string;
  readonly id: string;
  readonly type: string;
  readonly stream: string;
  readonly version: number;
  readonly at: string;
};

export type Audit = {
  /** Events of the log that the relay says are published. Those after them are not judged. */
  readonly judged: number;
  /** Messages that these make, and that the bus does not have. */
  readonly missing: number;
  /** Messages older than all that their topic still keeps: whether they were there, nobody knows. */
  readonly expired: number;
  /** Of the missing, published again. */
  readonly filled: number;
  /** The first hundred of the missing, in the log's order. */
  readonly first: readonly MissingEvent[];
};

export class AuditImpossible extends Error {
  override readonly name = 'AuditImpossible';
}

const batch = 1_000;

/**
 * Compares what the relay says it has published with what the bus has. The log is read up to the relay's checkpoint, then each topic to its
 * end: what is on its way meanwhile is after the checkpoint. Changes nothing unless it fills.
 */
export const auditRelay = async (o: AuditOptions): Promise<Audit> => {
  const place = await placeOf(o);
  await o.client.query(sql.make);
  try {
    const judged = await owe(o, place);
    let expired = 0;
    for (const topic of await topicsOwed(o)) expired += await strike(o, topic);
    await placeOf(o); // else a bus that was made anew meanwhile would seem to be one great hole
    const { missing, first } = await missed(o);
    return { judged, missing, expired, filled: o.fill ? await fill(o) : 0, first };
  } finally {
    await o.client.query(sql.drop);
  }
};

const placeOf = async ({ store, bus }: AuditOptions): Promise<Position> => {
  const saved = await store.loadCheckpoint(checkpointName);
  if (!saved) throw new AuditImpossible('the relay has published nothing yet: start the service, and try again');
  const { identity } = await bus.describe();
  if (saved.detail['replay'] === true || saved.detail['bus'] !== identity)
    throw new AuditImpossible('the relay is publishing the log again: try again when it has caught up');
  return saved;
};

/** Notes every message of the log up to the place. */
const owe = async ({ store, route, client }: AuditOptions, place: Position): Promise<number> => {
  let judged = 0;
  for (let after = origin; ;) {
    const events = (await store.readAll(after, batch)).filter((event) => notAfter(event, place));
    if (events.length === 0) return judged;
    judged += events.length;
    const owed = events.flatMap((event) => route(event).map((message) => ({ event, message })));
    await client.query(sql.owe, [
      owed.map(({ message }) => message.topic),
      owed.map(({ message }) => message.event.id),
      owed.map(({ event }) => event.transactionId),
      owed.map(({ event }) => event.position),
      owed.map(({ event }) => event.meta.at),
    ]);
    after = events.at(-1)!;
  }
};

const notAfter = (event: Position, place: Position): boolean => {
  const [a, b] = [BigInt(event.transactionId), BigInt(place.transactionId)];
  return a < b || (a === b && BigInt(event.position) <= BigInt(place.position));
};

const topicsOwed = async ({ client }: AuditOptions): Promise<readonly string[]> =>
  (await client.query<{ topic: string }>(sql.topics)).rows.map((row) => row.topic);

/** Takes out what the topic has; returns how many are older than anything it keeps. */
const strike = async ({ bus, client }: AuditOptions, topic: string): Promise<number> => {
  let oldest: string | undefined;
  const { complete } = await bus.scan(topic, async (events: readonly CloudEvent[]) => {
    for (const { time } of events) if (oldest === undefined || time < oldest) oldest = time;
    await client.query(sql.strike, [topic, events.map((event) => event.id)]);
  });
  if (complete) return 0;
  return (await client.query(sql.expire, [topic, oldest ?? 'infinity'])).rowCount ?? 0;
};

const missed = async ({ store, client }: AuditOptions): Promise<{ missing: number; first: MissingEvent[] }> => {
  const { rows } = await client.query<{ n: number }>(sql.count);
  const { rows: first } = await client.query<MissingEvent>(sql.first(store.schema), [100]);
  return { missing: rows[0]!.n, first };
};

const fill = async ({ store, bus, route, client }: AuditOptions): Promise<number> => {
  let filled = 0;
  for (;;) {
    const { rows } = await client.query<{ topic: string; id: string; stream: string; version: number }>(sql.first(store.schema), [100]);
    if (rows.length === 0) break;
    const messages: Message[] = [];
    for (const { topic, id, stream, version } of rows) {
      const [event] = await store.read(stream, { from: version, to: version }, client);
      messages.push(...route(event!).filter((message) => message.topic === topic && message.event.id === id));
    }
    await bus.publish(messages);
    for (const { topic, event } of messages) await client.query(sql.strike, [topic, [event.id]]);
    filled += messages.length;
  }
  await bus.flush();
  return filled;
};
