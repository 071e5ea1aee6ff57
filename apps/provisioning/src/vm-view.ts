import { refText } from '@chrysalis/contracts';
import type { KnownVm } from '@chrysalis/provisioning-core';

/** A VM as the API shows it: its state, with `version` that of its stream. */
export const vmView = (vm: KnownVm) => ({
  id: vm.vmId,
  name: vm.name,
  labels: vm.labels,
  tenant: vm.tenant,
  status: vm.status,
  desired: vm.desired,
  version: vm.version,
  type: refText(vm.type),
  spec: vm.spec,
  image: refText(vm.image),
  uuid: vm.uuid,
  epoch: vm.epoch,
  nics: vm.nics,
  ...(vm.bootOrder ? { bootOrder: vm.bootOrder } : {}),
  ...(vm.hostId === undefined ? {} : { host: vm.hostId }),
  ...(vm.topology ? { topology: vm.topology, topologyHash: vm.topologyHash } : {}),
  ...(vm.bootedAt ? { bootedAt: vm.bootedAt } : {}),
  ...(vm.move ? { move: vm.move } : {}),
  ...(vm.action ? { action: { action: vm.action.name, operation: vm.action.workflowId } } : {}),
  ...(vm.cause ? { cause: vm.cause } : {}),
  restart: vm.restart,
  operation: vm.deletion?.workflowId ?? vm.action?.workflowId ?? vm.operation,
});
export type VmView = ReturnType<typeof vmView>;
