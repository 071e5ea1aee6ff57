import type { Plan, Ref } from '@chrysalis/contracts';
import { compileFor, unknownGuest, type MigrationState, type Start } from '@chrysalis/migration-templates-core';
import type { MessageContext } from '@chrysalis/service-kit';
import { guestsOf } from '../known/guests.ts';
import { offliningHosts } from '../known/hosts.ts';
import { knownType } from '../known/types.ts';
import { knownVms } from '../known/vms.ts';
import { inMove, insertMove, insertTasks } from '../sql/moves.ts';
import { everVersion } from '../sql/templates.ts';

/** What the ids of moves, and of their workflows, begin with. */
export const MOVE = 'mov';

/** Moves made ready for these VMs of a plan, from what is known now; a VM that is gone or in another move is left out. */
export const makeStarts = async (
  ctx: MessageContext,
  migrationId: string,
  plan: Plan,
  vmIds: readonly string[],
  tenant: string,
): Promise<Start[]> => {
  const { schema } = ctx.store;
  const template = await templateOf(ctx, plan.basis.template);
  const target = template && (await knownType(ctx.tx, schema, template.spec.options.targetType));
  if (!template || !target) return [];
  const [vms, guests, busy] = [
    await knownVms(ctx.tx, schema, vmIds, tenant),
    await guestsOf(ctx.tx, schema, vmIds),
    new Set((await inMove(ctx.tx, schema, vmIds)).map((m) => m.vmId)),
  ];
  const offlining = await offliningHosts(
    ctx.tx,
    schema,
    vms.map((vm) => vm.hostId),
  );
  return vms.flatMap((vm) => {
    const planned = plan.moves.find((m) => m.vmId === vm.vmId);
    if (!planned || vm.moveId !== undefined || busy.has(vm.vmId)) return [];
    const moveId = ctx.newId(MOVE);
    const { compiled } = compileFor(
      {
        ...{ migrationId, moveId, template, vm, target: { hostId: planned.toHost, spec: target.spec } },
        offlines: offlining.has(vm.hostId),
        copied: planned.copies,
        mapped: planned.standsStill?.mapped,
      },
      guests.get(vm.vmId) ?? unknownGuest,
      ctx.now,
    );
    return [{ moveId, vmId: vm.vmId, request: { workflowId: moveId, ...compiled, subject: moveId } }];
  });
};

const templateOf = async (ctx: MessageContext, ref: Ref) => {
  const row = await everVersion(ctx.tx, ctx.store.schema, ref.name, ref.version);
  return row && { ref, spec: row.spec };
};

/** What is looked up of moves that began, in the transaction in which they did. Answers those whose VM another move has taken meanwhile. */
export const noteStarts = async (
  ctx: MessageContext,
  migrationId: string,
  starts: readonly Start[],
  migration: MigrationState,
): Promise<Start[]> => {
  if (migration.status === 'none') return [];
  const late: Start[] = [];
  for (const s of starts) {
    const { fromHost, toHost } = migration.plan.moves.find((m) => m.vmId === s.vmId)!;
    if (!(await insertMove(ctx.tx, ctx.store.schema, { moveId: s.moveId, migrationId, vmId: s.vmId, fromHost, toHost }))) late.push(s);
    else await insertTasks(ctx.tx, ctx.store.schema, s.moveId, s.request.definition);
  }
  return late;
};
