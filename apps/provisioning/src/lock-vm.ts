import type { Cause, Topology, VmChange } from '@chrysalis/contracts';
import type { MessageContext } from '@chrysalis/service-kit';
import { decideVm, type VmDecided } from './decide-vm.ts';

/** The hardware that a VM has after a step, as its host shows it. */
type Shape = { readonly topology?: Topology | undefined; readonly topologyHash?: string | undefined };

/** Locks the VM for what is done to its volume, or to an address of it, in the transaction that says so of that. */
export const lockVm = (
  ctx: MessageContext,
  o: { vmId: string; change: VmChange; volumeId?: string; workflowId: string },
): Promise<VmDecided> => decideVm(ctx, o.vmId, { type: 'begin-change', ...o });

/** Lets go of the VM, in the transaction that says of it what came of it. */
export const unlockVm = (
  ctx: MessageContext,
  { vmId, workflowId, ...end }: { vmId: string; workflowId: string } & ({ shape: Shape } | { cause: Cause }),
): Promise<VmDecided> => {
  const said = 'cause' in end ? ({ outcome: 'failed', cause: end.cause } as const) : ({ outcome: 'succeeded', ...end.shape } as const);
  return decideVm(ctx, vmId, { type: 'end-change', vmId, workflowId, ...said });
};
