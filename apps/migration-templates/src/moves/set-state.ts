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
export const knownSet = async (ctx: MessageContext, migrationId: string): Promise<KnownSet> => {
  const all = keptOf.get(ctx.store) ?? new Map<string, Kept>();
  keptOf.set(ctx.store, all);
  const kept = await upToNow(ctx, `migration-${migrationId}`, all.get(migrationId));
  all.delete(migrationId);
  if (kept.version > 0) all.set(migrationId, kept);
  for (const id of [...all.keys()].slice(0, Math.max(0, all.size - MOST))) all.delete(id);
  return { state: kept.state, version: kept.version, current: true };
};

const nothing: Kept = { state: migrationDecider.initial, version: 0, last: '' };
const upToNow = async ({ store, tx }: Pick<MessageContext, 'store' | 'tx'>, stream: string, before: Kept = nothing): Promise<Kept> => {
  const since = await store.read(stream, { from: Math.max(1, before.version) }, tx);
  if (before.version > 0 && since[0]?.id !== before.last) return upToNow({ store, tx }, stream);
  const events = before.version > 0 ? since.slice(1) : since;
  return {
    state: fold(migrationDecider.evolve, before.state, events as unknown as MigrationEvent[]),
    version: before.version + events.length,
    last: events.at(-1)?.id ?? before.last,
  };
};
