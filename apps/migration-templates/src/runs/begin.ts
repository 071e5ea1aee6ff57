import { migrationTemplatesEvents as events, type Plan } from '@chrysalis/contracts';
import { parted, plan, type RunResults } from '@chrysalis/migration-templates-core';
import type { MessageContext } from '@chrysalis/service-kit';
import { beginMigration } from '../moves/begin-migration.ts';
import { guestsOf } from '../known/guests.ts';
import { knownHosts } from '../known/hosts.ts';
import { inMove } from '../sql/moves.ts';
import type { Run } from '../sql/runs.ts';
import type { Chosen } from './choose.ts';

/** `late`: another move has taken one of them at this moment. Nothing has begun, and it is looked at again. */
export type Begun = Readonly<{ migrationId?: string; late?: true; blocked: RunResults }>;

/** Plans these VMs, and begins the migration of those that nothing blocks; plan and migration are as if somebody had asked for them. */
export const begin = async (run: Run, { template, target, vms }: Extract<Chosen, { ok: true }>, ctx: MessageContext): Promise<Begun> => {
  const { schema } = ctx.store;
  const ids = vms.map((vm) => vm.vmId);
  const { input } = run;
  const busy = new Map((await inMove(ctx.tx, schema, ids)).map((m) => [m.vmId, m.moveId]));
  const made = plan({
    planId: ctx.newId('plan'),
    at: ctx.now,
    template,
    target,
    vms: vms.map((vm) => (busy.has(vm.vmId) ? { ...vm, moveId: busy.get(vm.vmId)! } : vm)),
    hosts: await knownHosts(ctx.tx, schema),
    guests: await guestsOf(ctx.tx, schema, ids),
    notHost: input.notHost ?? input.hostId,
  });
  const { ready, blocked } = parted(made);
  if (!ready) return { blocked };
  await ctx.tx.query('savepoint begin');
  const begun = await request(run, ready, vms[0]!.tenant, ctx);
  if (begun !== undefined) return { migrationId: begun, blocked };
  await ctx.tx.query('rollback to savepoint begin');
  return { late: true, blocked };
};

const request = async (run: Run, ready: Plan, tenant: string, ctx: MessageContext): Promise<string | undefined> => {
  await ctx.append(`plan-${ready.planId}`, 'noStream', { type: events.planMade.type, data: { plan: ready } });
  const begun = await beginMigration(ctx, ready, { concurrency: run.input.concurrency }, tenant);
  if (begun.ok) return begun.migrationId;
  if ('late' in begun) return undefined;
  throw new Error(`a new migration was refused: ${begun.rejection.code}`);
};
