import { nothingAround, wanted, type Around, type MigrationState, type Ready, type Start } from '@chrysalis/migration-templates-core';
import type { MessageContext } from '@chrysalis/service-kit';
import { racksOf } from '../known/hosts.ts';
import { oneSetAtATime, runningOfOthers } from '../sql/moves.ts';
import { makeStarts } from './start-move.ts';

/** Moves made ready for as many VMs as may begin; one that cannot be made ready leaves its place to the next. */
export const readyFor = async (ctx: MessageContext, migrationId: string, seen: MigrationState, tenant: string): Promise<Ready> => {
  if (seen.status === 'none') return { starts: [] };
  const around = await aroundOf(ctx, migrationId, seen);
  const ready = new Map<string, Start>();
  const unready = new Set<string>();
  for (;;) {
    const ids = wanted(seen, around, unready, ctx.now).filter((id) => !ready.has(id));
    if (ids.length === 0) return { starts: [...ready.values()], around, unready: [...unready], now: ctx.now };
    for (const s of await makeStarts(ctx, migrationId, seen.plan, ids, tenant)) ready.set(s.vmId, s);
    for (const id of ids) if (!ready.has(id)) unready.add(id);
  }
};

/** Who counts what others have under way begins alone: two that look at the same moment would both find the last place free. */
const aroundOf = async (
  ctx: MessageContext,
  migrationId: string,
  { policy }: Exclude<MigrationState, { status: 'none' }>,
): Promise<Around> => {
  const { tx, store } = ctx;
  if (!policy?.limits) return nothingAround;
  await oneSetAtATime(tx, store.schema);
  const others = await runningOfOthers(tx, store.schema, migrationId);
  return { others, rackOf: policy.limits.perRack === undefined ? new Map() : await racksOf(tx, store.schema) };
};
