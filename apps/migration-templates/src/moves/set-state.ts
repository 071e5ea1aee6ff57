import type { EventStore } from '@chrysalis/event-store';
import { fold } from '@chrysalis/kernel';
import { migrationDecider, type MigrationEvent, type MigrationState } from '@chrysalis/migration-templates-core';
import type { MessageContext } from '@chrysalis/service-kit';

export type KnownSet = Readonly<{ state: MigrationState; version: number; current: true }>;
/** `last` is the id of the event at `version`: a transaction that was rolled back leaves a version which another event has got since. */
type Kept = Readonly<{ state: MigrationState; version: number; last: string }>;

/** Sets whose states are kept at a time. One of a thousand moves is 2,000 events of 10 KB, and each of its ends is decided on all of them. */
const MOST = 32;
const keptOf = new WeakMap<EventStore, Map<string, Kept>>();

/** A migration as it is in this transaction: what came since it was last looked at here is read, and the event before that to know it again. */
export const knownSet = async ({ store, tx }: MessageContext, migrationId: string): Promise<KnownSet> => {
  const kept = keptOf.get(store) ?? new Map<string, Kept>();
  keptOf.set(store, kept);
  const stream = `migration-${migrationId}`;
  const before = kept.get(migrationId);
  const since = before ? await store.read(stream, { from: before.version }, tx) : [];
  const holds = before !== undefined && since[0]?.id === before.last;
  const events = holds ? since.slice(1) : await store.read(stream, {}, tx);
  const state = fold(migrationDecider.evolve, holds ? before.state : migrationDecider.initial, events as unknown as MigrationEvent[]);
  const version = (holds ? before.version : 0) + events.length;
  const last = events.at(-1)?.id ?? before?.last;
  kept.delete(migrationId);
  if (last !== undefined) kept.set(migrationId, { state, version, last });
  for (const id of [...kept.keys()].slice(0, Math.max(0, kept.size - MOST))) kept.delete(id);
  return { state, version, current: true };
};
