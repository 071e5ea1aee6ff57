import { diskSerial, volumeFile, type WorkflowRequest } from '@chrysalis/contracts';
import { volumes } from '@chrysalis/provisioning-core';
import type { VmView } from '../vm-view.ts';

type Volume = volumes.KnownVolume;

const base = ({ volumeId }: Volume, workflowId: string, definition: WorkflowRequest['definition']) => ({
  workflowId,
  definition,
  subject: volumeId,
});
/** At the host that alone sees its pool, or else at any that does. */
const placed = ({ volumeId, pool, hostId }: Volume) => ({
  volumeId,
  volume: volumeFile(volumeId),
  pool,
  ...(hostId === undefined ? {} : { host: hostId }),
});
const onVm = ({ volumeId }: Volume, { id: vmId, host, epoch }: VmView) => ({ volumeId, vmId, hostId: host, epoch });

export const deletion = (volume: Volume, workflowId: string): WorkflowRequest => ({
  ...base(volume, workflowId, volumes.deleteVolume({ file: volumes.hasFile(volume), pinned: volume.hostId !== undefined })),
  params: placed(volume),
});

/** The volume as the VM's hardware; which root port is free its host says. The guest knows it by its serial number. */
export const attachment = (volume: Volume, vm: VmView, workflowId: string): WorkflowRequest => {
  const { volumeId, pool, sizeMiB } = volume;
  const disk = {
    id: volumeId,
    serial: diskSerial(volumeId),
    sizeMiB,
    format: 'qcow2',
    pool,
    volume: volumeFile(volumeId),
    readOnly: false,
  };
  return { ...base(volume, workflowId, volumes.attachVolume), params: { ...onVm(volume, vm), disk } };
};

export const detachment = (volume: Volume, vm: VmView, workflowId: string, force: boolean): WorkflowRequest => ({
  ...base(volume, workflowId, volumes.detachVolume),
  params: { ...onVm(volume, vm), force },
});

export const growth = (volume: Volume, vm: VmView | undefined, workflowId: string, sizeMiB: number): WorkflowRequest => ({
  ...base(volume, workflowId, volumes.growVolume({ attached: vm !== undefined, pinned: volume.hostId !== undefined })),
  params: { ...(vm ? onVm(volume, vm) : placed(volume)), sizeMiB },
});
