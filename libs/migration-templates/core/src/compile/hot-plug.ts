import { hostTasks, provisioningTasks, type TemplateStep } from '@chrysalis/contracts';
import { shaped, type MoveContext } from './context.ts';
import type { Plug } from './shape.ts';
import { onHost, onService, undoing } from './task-list.ts';
import { deadlines, retries } from './timings.ts';

/** Names of the tasks of each step of the hot-plug section; a step that had nothing left to do has none. */
export type Plugs = ReadonlyMap<string, readonly string[]>;
export const allOf = (plugs: Plugs): string[] => [...plugs.values()].flat();

/** After a switch-over only forward; a morph can take a plug back until it grows a disk, which nothing undoes. */
export const hotPlug = (m: MoveContext, there: readonly string[]): Plugs => {
  const { input, tasks, shape, moves, runner } = m;
  const on = { vmId: input.vm.vmId, epoch: runner.epoch };
  const route = onHost(runner.hostId);
  const plugs = new Map<string, string[]>();
  const note = (step: string, task: string): void => void plugs.set(step, [...(plugs.get(step) ?? []), task]);
  for (const { step, device } of shape.plugs) {
    const only = shape.plugs.filter((p) => p.step === step).length === 1;
    const task = tasks.add(hostTasks.plug, {
      name: only ? step : m.name(step, device.id),
      summary: summaryOf(device),
      section: 'hot-plug',
      route,
      after: there,
      deadlineMs: deadlines.plug,
      retry: moves ? retries.forward : retries.host,
      input: { ...on, device },
      compensation: moves
        ? undefined
        : undoing(hostTasks.unplug, { ...on, device: { kind: device.kind, id: device.id } }, route, deadlines.unplug),
    });
    note(step, task);
  }
  const waits = moves ? there : [...there, ...allOf(plugs), ...onlineFirst(m)];
  shape.growths.forEach(({ step, disk, sizeMiB }, i) => {
    const first = shape.growths[0]!.step;
    const task = tasks.add(hostTasks.resizeDisk, {
      name: step,
      summary: `Grow the disk ${disk} to ${sizeMiB} MiB`,
      section: 'hot-plug',
      route,
      after: !moves && i > 0 ? [first] : waits,
      deadlineMs: deadlines.plug,
      retry: moves || i > 0 ? retries.forward : retries.host,
      ...(!moves && i === 0 ? { pointOfNoReturn: true } : {}),
      input: { ...on, disk, sizeMiB },
    });
    note(step, task);
  });
  recordPlugged(m, allOf(plugs));
  return plugs;
};

const summaryOf = (device: Plug['device']): string => {
  if (device.kind === 'cpu') return `Plug CPU ${device.coreId}`;
  return device.kind === 'memory' ? `Plug ${device.sizeMiB} MiB of memory` : `Plug NIC ${device.id} on ${device.network}`;
};

/** What a morph brings online before it grows a disk: the steps that wait for no script. */
const onlineFirst = (m: MoveContext): string[] => {
  const list = m.input.template.spec.postMigration;
  const script = list.findIndex((s) => s.kind === 'guest-script');
  const early = script < 0 ? list : list.slice(0, script);
  return early.filter((s) => (s.kind === 'online-cpus' || s.kind === 'online-memory') && partners(m, s).length > 0).map((s) => s.name);
};

const recordPlugged = (m: MoveContext, plugs: readonly string[]): void => {
  const { input, tasks, moves } = m;
  if (plugs.length === 0) return;
  const { vmId } = input.vm;
  tasks.add(provisioningTasks.recordTopology, {
    name: 'record-plugged',
    summary: 'Record what was plugged',
    section: 'hot-plug',
    route: onService('provisioning'),
    after: moves ? ['switch-over', ...plugs] : plugs,
    retry: moves ? retries.forward : retries.service,
    input: { vmId, reason: 'plugged for a type', ...shaped(m, 'after') },
    compensation: moves
      ? undefined
      : undoing(
          provisioningTasks.recordTopology,
          { vmId, reason: 'unplugged again: the morph was undone', ...shaped(m, 'moved') },
          onService('provisioning'),
          deadlines.service,
        ),
  });
};

/** The hot-plug steps, and those while the guest stood still, that a step inside the guest builds on, if they have anything to do. */
export const partners = (m: MoveContext, step: TemplateStep): string[] => {
  const all = [...m.shape.stopped, ...m.shape.plugs];
  switch (step.kind) {
    case 'online-cpus':
      return all.filter((p) => p.kind === 'plug-cpus').map((p) => p.step);
    case 'online-memory':
      return all.filter((p) => p.kind === 'plug-memory').map((p) => p.step);
    case 'grow-filesystem':
      return m.shape.growths.filter((g) => g.disk === step.disk).map((g) => g.step);
    default:
      return [];
  }
};
