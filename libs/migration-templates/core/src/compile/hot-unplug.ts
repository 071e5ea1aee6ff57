import { guestTasks, hostTasks, memoryMiBOf, provisioningTasks } from '@chrysalis/contracts';
import { shaped, type MoveContext } from './context.ts';
import { onHost, onService, undoing } from './task-list.ts';
import { deadlines, retries } from './timings.ts';

/** Devices that the new type lacks go before the move. The topology recorded is the one the target is made from. */
export const hotUnplug = (m: MoveContext, after: readonly string[]): string[] => {
  const { input, tasks, shape } = m;
  const { vm } = input;
  const on = { vmId: vm.vmId, epoch: vm.epoch };
  const whole = wholeBefore(m, after);
  const removed = shape.removals.map(({ step, device }) =>
    tasks.add(hostTasks.unplug, {
      name: shape.removals.filter((r) => r.step === step).length === 1 ? step : m.name(step, device.id),
      summary: `Unplug ${device.kind} ${device.id}`,
      section: 'hot-unplug',
      route: onHost(vm.hostId),
      after: [...after, ...whole],
      deadlineMs: deadlines.unplug,
      retry: retries.host,
      input: { ...on, device: { kind: device.kind, id: device.id } },
      compensation: undoing(hostTasks.plug, { ...on, device }, onHost(vm.hostId)),
    }),
  );
  const offlined = takeOffline(m, after);
  if (removed.length === 0) return [...after, ...offlined];
  const record = tasks.add(provisioningTasks.recordTopology, {
    name: 'record-unplugged',
    summary: 'Record what was unplugged',
    section: 'hot-unplug',
    route: onService('provisioning'),
    after: [...removed, ...offlined],
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

/** The guest takes CPUs offline that stay. */
const takeOffline = ({ input, tasks, shape }: MoveContext, after: readonly string[]): string[] => {
  const { vmId, epoch, hostId } = input.vm;
  return shape.offlined.map(({ step, vcpus }) =>
    tasks.add(guestTasks.offlineCpus, {
      name: step,
      summary: `Take CPUs offline in the guest, to ${vcpus}: this host cannot unplug them`,
      section: 'hot-unplug',
      route: onHost(hostId),
      after,
      deadlineMs: deadlines.guest,
      retry: retries.host,
      input: { vmId, epoch, vcpus },
      compensation: undoing(guestTasks.onlineCpus, { vmId, epoch, vcpus: shape.shown.before }, onHost(hostId), deadlines.guest),
    }),
  );
};

/**
 * Where CPUs or memory go, the guest has all of them online before: seen here, and where the move is undone and they are plugged again,
 * brought about again, which a guest need not do by itself.
 */
const wholeBefore = (m: MoveContext, after: readonly string[]): string[] => {
  const { input, tasks, shape } = m;
  const { vmId, epoch, hostId } = input.vm;
  const common = { section: 'hot-unplug', route: onHost(hostId), after, deadlineMs: deadlines.guest, retry: retries.host } as const;
  const goes = (kind: 'cpu' | 'memory'): boolean => shape.removals.some(({ device }) => device.kind === kind);
  const cpus = { vmId, epoch, vcpus: shape.shown.before };
  const memory = { vmId, epoch, memoryMiB: memoryMiBOf(shape.before) };
  return [
    ...(goes('cpu')
      ? [
          tasks.add(guestTasks.onlineCpus, {
            ...common,
            name: m.name('cpus-before'),
            summary: `See all ${cpus.vcpus} CPUs online`,
            input: cpus,
            compensation: undoing(guestTasks.onlineCpus, cpus, onHost(hostId), deadlines.guest),
          }),
        ]
      : []),
    ...(goes('memory')
      ? [
          tasks.add(guestTasks.onlineMemory, {
            ...common,
            name: m.name('memory-before'),
            summary: `See all ${memory.memoryMiB} MiB online`,
            input: memory,
            compensation: undoing(guestTasks.onlineMemory, memory, onHost(hostId), deadlines.guest),
          }),
        ]
      : []),
  ];
};
