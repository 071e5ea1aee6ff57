import type { VmAction, VmActionOptions } from '@chrysalis/contracts';
import { actOnVm } from '@chrysalis/provisioning-core';
import type { VmView } from './vm-view.ts';

/** The workflow of an action on a VM, on the host that has it; a start has what was pending until it. */
export const acting = ({ id: vmId, host, epoch, bootOrder }: VmView, workflowId: string, action: VmAction, options: VmActionOptions) => {
  const ordered = action === 'start' && bootOrder !== undefined;
  return {
    workflowId,
    definition: actOnVm(action, options, { ordered }),
    params: { vmId, ...(host === undefined ? {} : { hostId: host }), epoch, ...(ordered ? { bootOrder } : {}) },
    subject: vmId,
  };
};
