import { addressTasks as tasks, type InputOf, type Topology } from '@chrysalis/contracts';
import { done, Executor, OnTask, refused, type ResultOf, type TaskContext, type TaskResult } from '@chrysalis/service-kit';
import { unlockVm } from '../lock-vm.ts';
import { decideAddress } from './decide-address.ts';

type Input<K extends keyof typeof tasks> = InputOf<(typeof tasks)[K]>;
type Result<K extends keyof typeof tasks> = ResultOf<(typeof tasks)[K]>;
type OfVm = { readonly vmId: string; readonly topology: Topology; readonly topologyHash: string };

/** In one order always, so that two who want the same two VMs do not wait for each other. */
const unlocked = async (ctx: TaskContext, vms: readonly OfVm[]): Promise<TaskResult<Record<string, never>>> => {
  for (const { vmId, topology, topologyHash } of [...vms].sort((a, b) => (a.vmId < b.vmId ? -1 : 1))) {
    const free = await unlockVm(ctx, { vmId, workflowId: ctx.dispatch.workflowId, shape: { topology, topologyHash } });
    if (!free.ok) return refused(free.rejection);
  }
  return done({});
};

/** Each is a command to the address's stream, which is idempotent by itself; what came of it is said of its VMs in the same commit. */
@Executor()
export class AddressTasks {
  @OnTask(tasks.recordAddressBound)
  async recordBound({ addressId, from, seen = false, ...vm }: Input<'recordAddressBound'>, ctx: TaskContext): Result<'recordAddressBound'> {
    const { workflowId } = ctx.dispatch;
    const bound = await decideAddress(ctx, addressId, { type: 'record-bound', addressId, vmId: vm.vmId, workflowId, seen });
    return bound.ok ? unlocked(ctx, from ? [vm, from] : [vm]) : refused(bound.rejection);
  }

  @OnTask(tasks.recordAddressUnbound)
  async recordUnbound({ addressId, ...vm }: Input<'recordAddressUnbound'>, ctx: TaskContext): Result<'recordAddressUnbound'> {
    const { workflowId } = ctx.dispatch;
    const free = await decideAddress(ctx, addressId, { type: 'record-unbound', addressId, vmId: vm.vmId, workflowId });
    return free.ok ? unlocked(ctx, [vm]) : refused(free.rejection);
  }
}
