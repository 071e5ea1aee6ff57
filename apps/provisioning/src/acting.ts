import type { VmAction, VmActionOptions } from '@chrysalis/contracts';
import { actOnVm } from '@chrysalis/provisioning-core';
import type { VmView } from './vm-view.ts';

/** The workflow of an action on a VM, on the host that has it. */
export const acting = ({ id: vmId, host, epoch }: VmView, workflowId: string, action: VmAction, options: VmActionOptions) => ({
  workflowId,
  definition: actOnVm(action, options),
  params: { vmId, ...(host === undefined ? {} : { hostId: host }), epoch },
  subject: vmId,
});
