import type { Plan } from '@chrysalis/contracts';
import { migrationDecider } from '@chrysalis/migration-templates-core';
import type { MessageContext } from '@chrysalis/service-kit';
import { insertMigration } from '../sql/migrations.ts';
import { makeStarts, noteStarts } from './start-move.ts';

/**
 * Begins the first moves of a plan, and the migration with them. `late`: VMs that another move has taken at this moment; what was
 * written by then is for the caller to roll back.
 */
export const beginMigration = async (ctx: MessageContext, plan: Plan, concurrency: number, tenant: string) => {
  const migrationId = ctx.newId('mig');
  const first = plan.moves.slice(0, concurrency).map((m) => m.vmId);
  const starts = await makeStarts(ctx, migrationId, plan, first, tenant);
  const late = await noteStarts(ctx, migrationId, starts);
  if (late.length > 0 || starts.length < first.length) return { ok: false as const, late: late.map((s) => s.vmId) };
  await insertMigration(ctx.tx, ctx.store.schema, { migrationId, tenant, at: ctx.now, template: plan.basis.template.name });
  const command = { kind: 'request' as const, migrationId, plan, concurrency, starts };
  const decided = await ctx.decide(`migration-${migrationId}`, migrationDecider, command);
  return decided.ok ? { ok: true as const, migrationId } : { ok: false as const, rejection: decided.rejection };
};
