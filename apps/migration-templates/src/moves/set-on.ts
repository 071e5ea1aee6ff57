import { migrationTemplatesEvents as events } from '@chrysalis/contracts';
import {
  expecting,
  migrationDecider,
  nextLook,
  type MigrationEvent,
  type MigrationState,
  type SetCommand,
} from '@chrysalis/migration-templates-core';
import type { MessageContext } from '@chrysalis/service-kit';
import { migrationEnded } from '../runs/step.ts';
import { lookAt, lookNoMore } from '../sql/migrations.ts';
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
  await followUp(ctx, migrationId, decided);
  return decided;
};

type Decided = Readonly<{ events: readonly MigrationEvent[]; state: MigrationState }>;
/** With its end whoever waits for it hears of that, and nobody looks at it any more; before, when to look at it next. */
export const followUp = async (ctx: MessageContext, migrationId: string, { events: told, state }: Decided): Promise<void> => {
  const { schema } = ctx.store;
  if (told.some((e) => e.type === events.migrationEnded.type)) {
    await lookNoMore(ctx.tx, schema, migrationId);
    await migrationEnded(migrationId, state, ctx);
  }
  const look = nextLook(state, ctx.now);
  if (look !== undefined) await lookAt(ctx.tx, schema, migrationId, look);
};
