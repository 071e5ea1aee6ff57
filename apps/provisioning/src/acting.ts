import { offlinedCpus, type VmAction, type VmActionOptions } from '@chrysalis/contracts';
import { actOnVm, type NextStart } from '@chrysalis/provisioning-core';
import type { VmView } from './vm-view.ts';

/** The workflow of an action on a VM, on the host that has it; a start has what was pending until it. */
export const acting = (vm: VmView, workflowId: string, action: VmAction, options: VmActionOptions) => {
  const { id: vmId, host, epoch } = vm;
  const next = action === 'start' ? nextOf(vm) : {};
  return {
    workflowId,
    definition: actOnVm(action, options, Object.keys(next) as NextStart[]),
    params: { vmId, ...(host === undefined ? {} : { hostId: host }), epoch, ...next },
    subject: vmId,
  };
};

const nextOf = (vm: VmView): { bootOrder?: string[]; vcpus?: number } => ({
  ...(vm.bootOrder === undefined ? {} : { bootOrder: vm.bootOrder }),
  ...(offlinedCpus(vm) > 0 ? { vcpus: vm.spec.vcpus.now } : {}),
});
