import type { WorkflowDefinition } from '@chrysalis/contracts';
import { passing, stubborn, provisioning, SHORT_MS, volumeId, text, vmParams, vm, onVm, GUEST_MS, shaped } from './workflow-parts.ts';

/** Undone by taking it out again whatever the guest does with it by then: it was never said to have it. */
export const attachVolume: WorkflowDefinition = {
  name: 'attach-volume',
  version: 1,
  summary: 'Attach a volume to a VM',
  params: { ...vmParams, volumeId: text, disk: { type: 'object', required: true } },
  tasks: [
    {
      name: 'plug',
      kind: 'host.attach-volume',
      summary: 'Plug the volume, see it in the guest',
      input: { ...vm, disk: '${params.disk}' },
      route: onVm,
      deadlineMs: GUEST_MS,
      retry: passing,
      compensation: {
        kind: 'host.detach-volume',
        input: { ...vm, disk: volumeId, force: true },
        route: onVm,
        deadlineMs: GUEST_MS,
        retry: stubborn,
      },
    },
    {
      name: 'record',
      kind: 'volume.record-attached',
      summary: 'Record that the VM has the volume',
      input: { volumeId, vmId: '${params.vmId}', ...shaped('plug'), seen: '${tasks.plug.output.seen}' },
      route: provisioning,
      deadlineMs: SHORT_MS,
      retry: stubborn,
    },
  ],
  deadlineMs: 600_000,
  output: { volumeId, vmId: '${params.vmId}' },
};

/**
 * Forward only: where its record is lost, a volume that were plugged again would be a VM's that nobody knows of. A guest that lets go after all
 * was given up has let go: the volume stays that VM's until it is detached again, which finds nothing to do there.
 */
export const detachVolume: WorkflowDefinition = {
  name: 'detach-volume',
  version: 1,
  summary: 'Detach a volume from its VM',
  params: { ...vmParams, volumeId: text, force: { type: 'boolean', required: true } },
  tasks: [
    {
      name: 'unplug',
      kind: 'host.detach-volume',
      summary: 'Have the guest let go of the volume',
      input: { ...vm, disk: volumeId, force: '${params.force}' },
      route: onVm,
      deadlineMs: GUEST_MS,
      retry: passing,
    },
    {
      name: 'record',
      kind: 'volume.record-detached',
      summary: 'Record that the VM has the volume no more',
      input: { volumeId, vmId: '${params.vmId}', ...shaped('unplug') },
      route: provisioning,
      deadlineMs: SHORT_MS,
      retry: stubborn,
    },
  ],
  deadlineMs: 600_000,
  output: { volumeId },
};
