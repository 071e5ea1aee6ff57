import { FLEET_TENANT, provisioningEvents, provisioningTasks as tasks, type Cause, type InputOf } from '@chrysalis/contracts';
import { offeredEpoch, PROVISIONING_UNDONE, type KnownVm, type VmCommand } from '@chrysalis/provisioning-core';
import { done, Executor, failed, OnTask, refused, type ResultOf, type TaskContext, type TaskResult } from '@chrysalis/service-kit';
import { leaveAddresses } from '../addresses/leave.ts';
import { decideVm } from '../decide-vm.ts';
import { leaveNetwork, leaveNetworks } from '../networks/join.ts';
import { vmsOfType } from '../sql/vms.ts';
import { leaveVolumes } from '../volumes/leave.ts';

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

type Input<K extends keyof typeof tasks> = InputOf<(typeof tasks)[K]>;
type Result<K extends keyof typeof tasks> = ResultOf<(typeof tasks)[K]>;

/** Each is a command to the VM's stream, which is idempotent by itself; the inbox takes out exact repetitions before. */
@Executor()
export class VmTasks {
  @OnTask(tasks.recordPlacement, { abreast: true })
  recordPlacement(input: Input<'recordPlacement'>, ctx: TaskContext): Result<'recordPlacement'> {
    return decided(ctx, { type: 'record-placement', ...input }, ({ epoch }) => ({ epoch }));
  }

  @OnTask(tasks.recordBoot, { abreast: true })
  recordBoot(input: Input<'recordBoot'>, ctx: TaskContext): Result<'recordBoot'> {
    return decided(ctx, { type: 'record-boot', ...input }, nothing);
  }

  @OnTask(tasks.beginMove)
  beginMove(input: Input<'beginMove'>, ctx: TaskContext): Result<'beginMove'> {
    return decided(ctx, { type: 'begin-move', ...input }, lockedVm);
  }

  @OnTask(tasks.endMove)
  endMove(input: Input<'endMove'>, ctx: TaskContext): Result<'endMove'> {
    return decided(ctx, { type: 'end-move', ...input }, nothing);
  }

  @OnTask(tasks.recordTopology)
  recordTopology(input: Input<'recordTopology'>, ctx: TaskContext): Result<'recordTopology'> {
    return decided(ctx, { type: 'change-topology', ...input }, nothing);
  }

  @OnTask(tasks.switchOver)
  switchOver(input: Input<'switchOver'>, ctx: TaskContext): Result<'switchOver'> {
    return decided(ctx, { type: 'switch-over', ...input }, nothing);
  }

  @OnTask(tasks.changeType)
  changeType(input: Input<'changeType'>, ctx: TaskContext): Result<'changeType'> {
    return decided(ctx, { type: 'change-type', ...input }, nothing);
  }

  @OnTask(tasks.recordAction)
  recordAction(input: Input<'recordAction'>, ctx: TaskContext): Result<'recordAction'> {
    return decided(ctx, { type: 'record-action', workflowId: ctx.dispatch.workflowId, ...input }, nothing);
  }

  @OnTask(tasks.recordFilter)
  recordFilter(input: Input<'recordFilter'>, ctx: TaskContext): Result<'recordFilter'> {
    return decided(ctx, { type: 'end-change', workflowId: ctx.dispatch.workflowId, outcome: 'succeeded', ...input }, nothing);
  }

  /** What of the network is the VM's no more is anybody's in the same commit: an address is never two VMs' hardware. */
  @OnTask(tasks.recordNic)
  async recordNic(input: Input<'recordNic'>, ctx: TaskContext): Result<'recordNic'> {
    const command = { type: 'end-change' as const, workflowId: ctx.dispatch.workflowId, outcome: 'succeeded' as const, ...input };
    const result = await decideVm(ctx, input.vmId, command);
    if (!result.ok) return refused(result.rejection);
    for (const e of result.events)
      if (e.type === provisioningEvents.vmChangeEnded.type && e.data.change === 'detach-nic')
        await leaveNetwork(ctx, input.vmId, e.data.networkId!);
    return done({});
  }

  @OnTask(tasks.recordDeleted)
  async recordDeleted(input: Input<'recordDeleted'>, ctx: TaskContext): Result<'recordDeleted'> {
    const result = await decideVm(ctx, input.vmId, { type: 'record-deleted', ...input });
    if (!result.ok) return refused(result.rejection);
    if (result.events.length > 0) {
      await leaveVolumes(ctx, input.vmId, result.vm.deletion?.volumes === 'delete');
      await leaveAddresses(ctx, input.vmId);
      await leaveNetworks(ctx, input.vmId);
    }
    return done({});
  }

  @OnTask(tasks.failProvisioning)
  failProvisioning({ vmId }: Input<'failProvisioning'>, ctx: TaskContext): Result<'failProvisioning'> {
    return decided(ctx, { type: 'fail-provisioning', vmId, cause: undone }, nothing);
  }

  @OnTask(tasks.listOfType)
  async listOfType({ type, limit = MOST, expectNone }: Input<'listOfType'>, { tx, store, dispatch }: TaskContext): Result<'listOfType'> {
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
  }
}

const lockedVm = (vm: KnownVm) => {
  const { vmId, epoch, topology, topologyHash } = vm;
  if (!topology || !topologyHash) throw new Error(`${vmId} runs and has no topology`);
  return { epoch, newEpoch: offeredEpoch(vm), topology, topologyHash };
};
