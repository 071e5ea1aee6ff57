import type { Plan, SetPolicy } from '@chrysalis/contracts';
import { asRequested, migrationDecider, nextLook } from '@chrysalis/migration-templates-core';
import type { MessageContext } from '@chrysalis/service-kit';
import { insertMigration, lookAt } from '../sql/migrations.ts';
import { readyFor } from './set-ready.ts';
import { noteStarts } from './start-move.ts';

export type HowToGo = Readonly<{ concurrency: number; policy?: SetPolicy | undefined; deadlineAt?: string | undefined }>;

/**
 * Begins the first moves of a plan, and the migration with them. `late`: VMs that another move has taken at this moment; what was
 * written by then is for the caller to roll back.
 */
export const beginMigration = async (ctx: MessageContext, plan: Plan, how: HowToGo, tenant: string) => {
  const migrationId = ctx.newId('mig');
  const { schema } = ctx.store;
  const asked = { migrationId, plan, ...how };
  const ready = await readyFor(ctx, migrationId, asRequested(asked), tenant);
  if (ready.unready?.length) return { ok: false as const, late: ready.unready };
  await insertMigration(ctx.tx, schema, { migrationId, tenant, at: ctx.now, template: plan.basis.template.name });
  const decided = await ctx.decide(`migration-${migrationId}`, migrationDecider, { kind: 'request', ...asked, ...ready });
  if (!decided.ok) return { ok: false as const, rejection: decided.rejection };
  const late = await noteStarts(ctx, migrationId, ready.starts, decided.state);
  if (late.length > 0) return { ok: false as const, late: late.map((s) => s.vmId) };
  const look = nextLook(decided.state, ctx.now);
  if (look !== undefined) await lookAt(ctx.tx, schema, migrationId, look);
  return { ok: true as const, migrationId };
};
