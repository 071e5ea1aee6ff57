import { diskSerial, volumeFile, type Image, type WorkflowRequest } from '@chrysalis/contracts';
import { volumes } from '@chrysalis/provisioning-core';
import type { VmView } from '../vm-view.ts';

type Volume = volumes.KnownVolume;

const base = ({ volumeId }: Volume, workflowId: string, definition: WorkflowRequest['definition']) => ({
  workflowId,
  definition,
  subject: volumeId,
});
/** At the host that alone sees its pool, or else at any that does. */
const placed = (volume: Volume) => ({
  volumeId: volume.volumeId,
  volume: volumeFile(volume.volumeId),
  ...inPool(volume),
  ...(volume.hostId === undefined ? {} : { host: volume.hostId }),
});
const inPool = ({ pool, poolId }: Volume) => ({ pool, ...(poolId === undefined ? {} : { poolId }) });
const known = ({ hostId, poolId }: Volume) => ({ pinned: hostId !== undefined, poolKnown: poolId !== undefined });
const onVm = ({ volumeId }: Volume, { id: vmId, host, epoch }: VmView) => ({ volumeId, vmId, hostId: host, epoch });

type Made = { readonly volumeId: string; readonly sizeMiB: number; readonly pool: string; readonly host?: string | undefined };
/** `source`: the volume that it is to be a copy of, or the image. A volume that one host alone sees is copied there. */
export const creation = (made: Made, source: Volume | Image | undefined, workflowId: string): WorkflowRequest => {
  const { volumeId, sizeMiB, pool } = made;
  const ofVolume = source && 'volumeId' in source ? source : undefined;
  const host = made.host ?? ofVolume?.hostId;
  const from = ofVolume
    ? { kind: 'volume', pool: ofVolume.pool, volume: volumeFile(ofVolume.volumeId) }
    : source && { kind: 'image', image: source };
  return {
    workflowId,
    definition: volumes.createVolume({ pinned: host !== undefined, copy: from !== undefined, also: ofVolume !== undefined }),
    params: {
      ...{ volumeId, volume: volumeFile(volumeId), pool, sizeMiB },
      ...(host === undefined ? {} : { host }),
      ...(from ? { from } : {}),
      ...(ofVolume ? { also: inPool(ofVolume) } : {}),
    },
    subject: volumeId,
  };
};

export const deletion = (volume: Volume, workflowId: string): WorkflowRequest => ({
  ...base(volume, workflowId, volumes.deleteVolume({ file: volumes.hasFile(volume), ...known(volume) })),
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
  ...base(volume, workflowId, volumes.growVolume({ attached: vm !== undefined, ...known(volume) })),
  params: { ...(vm ? { ...onVm(volume, vm), ...inPool(volume) } : placed(volume)), sizeMiB, fromMiB: volume.sizeMiB },
});
