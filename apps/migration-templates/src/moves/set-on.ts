import { migrationTemplatesEvents as events } from '@chrysalis/contracts';
import { expecting, migrationDecider, nextLook, type SetCommand } from '@chrysalis/migration-templates-core';
import type { MessageContext } from '@chrysalis/service-kit';
import { migrationEnded } from '../runs/step.ts';
import { lookAt } from '../sql/migrations.ts';
import { readyFor } from './set-ready.ts';
import { knownSet } from './set-state.ts';
import { noteStarts } from './start-move.ts';

/** What a command leads to, with the moves that may begin by it; where it ends the set, whoever waits for that hears it in this transaction. */
export const setOn = async (ctx: MessageContext, migrationId: string, command: SetCommand, tenant: string) => {
  const known = await knownSet(ctx, migrationId);
  const ready = await readyFor(ctx, migrationId, expecting(known.state, command), tenant);
  const decided = await ctx.decide(`migration-${migrationId}`, migrationDecider, { ...command, ...ready }, { known });
  if (!decided.ok) return decided;
  const begun = new Set(decided.events.flatMap((e) => (e.type === events.moveStarted.type ? [e.data.moveId] : [])));
  const starting = ready.starts.filter((s) => begun.has(s.moveId));
  const late = await noteStarts(ctx, migrationId, starting, decided.state);
  if (late.length > 0) throw new Error(`another move of ${late.map((s) => s.vmId).join(', ')} began meanwhile`); // rolled back, and decided anew
  if (decided.events.some((e) => e.type === events.migrationEnded.type)) await migrationEnded(migrationId, decided.state, ctx);
  const look = nextLook(decided.state, ctx.now);
  if (look !== undefined) await lookAt(ctx.tx, ctx.store.schema, migrationId, look);
  return decided;
};
