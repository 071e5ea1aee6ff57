import { FLEET_TENANT, provisioningTasks, type Cause } from '@chrysalis/contracts';
import { offeredEpoch, PROVISIONING_UNDONE, type KnownVm, type VmCommand } from '@chrysalis/provisioning-core';
import { done, failed, handleTask, refused, type TaskContext, type TaskHandler, type TaskResult } from '@chrysalis/service-kit';
import { decideVm } from '../decide-vm.ts';
import { vmsOfType } from '../sql/vms.ts';

/** As many as one set of a migration may have. */
const MOST = 1_000;

const decided = async <O extends Record<string, unknown>>(
  ctx: TaskContext,
  command: Exclude<VmCommand, { type: 'request' }>,
  output: (vm: KnownVm) => O,
): Promise<TaskResult<O>> => {
  const result = await decideVm(ctx, command.vmId, command);
  return result.ok ? done(output(result.vm)) : refused(result.rejection);
};
const nothing = (): Record<string, never> => ({});

const undone: Cause = { code: PROVISIONING_UNDONE, message: 'A later step failed; what was done for the VM was undone' };

/** Each is a command to the VM's stream, which is idempotent by itself; the inbox takes out exact repetitions before. */
export const vmTasks: readonly TaskHandler[] = [
  handleTask(provisioningTasks.recordPlacement, (input, ctx) =>
    decided(ctx, { type: 'record-placement', ...input }, ({ epoch }) => ({ epoch })),
  ),
  handleTask(provisioningTasks.recordBoot, (input, ctx) => decided(ctx, { type: 'record-boot', ...input }, nothing)),
  handleTask(provisioningTasks.beginMove, (input, ctx) => decided(ctx, { type: 'begin-move', ...input }, lockedVm)),
  handleTask(provisioningTasks.endMove, (input, ctx) => decided(ctx, { type: 'end-move', ...input }, nothing)),
  handleTask(provisioningTasks.recordTopology, (input, ctx) => decided(ctx, { type: 'change-topology', ...input }, nothing)),
  handleTask(provisioningTasks.switchOver, (input, ctx) => decided(ctx, { type: 'switch-over', ...input }, nothing)),
  handleTask(provisioningTasks.changeType, (input, ctx) => decided(ctx, { type: 'change-type', ...input }, nothing)),
  handleTask(provisioningTasks.recordDeleted, (input, ctx) => decided(ctx, { type: 'record-deleted', ...input }, nothing)),
  handleTask(provisioningTasks.listOfType, async ({ type, limit = MOST, expectNone }, { tx, store, dispatch }) => {
    const tenant = dispatch.tenant === FLEET_TENANT ? undefined : dispatch.tenant;
    const vms = await vmsOfType(tx, store.schema, { type, tenant, limit: limit + 1 });
    if (expectNone && vms.length > 0)
      return failed({
        code: 'vm-type.in_use',
        message: `${type} is still the type of ${vms.slice(0, 10).join(', ')}`,
        retriable: true,
        detail: { vmIds: vms.slice(0, 10) },
      });
    return done({ vmIds: vms.slice(0, limit), more: vms.length > limit });
  }),
  handleTask(provisioningTasks.failProvisioning, ({ vmId }, ctx) =>
    decided(ctx, { type: 'fail-provisioning', vmId, cause: undone }, nothing),
  ),
];

const lockedVm = (vm: KnownVm) => {
  const { vmId, epoch, topology, topologyHash } = vm;
  if (!topology || !topologyHash) throw new Error(`${vmId} runs and has no topology`);
  return { epoch, newEpoch: offeredEpoch(vm), topology, topologyHash };
};
