import { hostTasks, provisioningTasks } from '@chrysalis/contracts';
import { shaped, type MoveContext } from './context.ts';
import { onHost, onService, undoing } from './task-list.ts';
import { deadlines, retries } from './timings.ts';

/** Devices that the new type lacks go before the move. The topology recorded is the one the target is made from. */
export const hotUnplug = (m: MoveContext, after: readonly string[]): string[] => {
  const { input, tasks, shape } = m;
  const { vm } = input;
  const on = { vmId: vm.vmId, epoch: vm.epoch };
  const removed = shape.removals.map(({ step, device }) =>
    tasks.add(hostTasks.unplug, {
      name: step,
      summary: `Unplug ${device.kind} ${device.id}`,
      section: 'hot-unplug',
      route: onHost(vm.hostId),
      after,
      deadlineMs: deadlines.unplug,
      retry: retries.host,
      input: { ...on, device: { kind: device.kind, id: device.id } },
      compensation: undoing(hostTasks.plug, { ...on, device }, onHost(vm.hostId)),
    }),
  );
  if (removed.length === 0) return [...after];
  const record = tasks.add(provisioningTasks.recordTopology, {
    name: 'record-unplugged',
    summary: 'Record what was unplugged',
    section: 'hot-unplug',
    route: onService('provisioning'),
    after: removed,
    input: { vmId: vm.vmId, reason: 'unplugged for a move', ...shaped(m, 'moved') },
    compensation: undoing(
      provisioningTasks.recordTopology,
      { vmId: vm.vmId, reason: 'plugged again: the move was undone', ...shaped(m, 'before') },
      onService('provisioning'),
      deadlines.service,
    ),
  });
  return [record];
};
