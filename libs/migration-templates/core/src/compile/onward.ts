import { guestTasks, hostTasks, provisioningTasks, vcpusOf, type TemplateStep } from '@chrysalis/contracts';
import { shaped, type Making } from './making.ts';
import { onHost, onService, undoing, type NewTask } from './draft.ts';
import { scriptInput, scriptRetry, undoScript } from './source-side.ts';
import { deadlines, retries } from './timings.ts';

/** Names of the tasks of each step of the hot-plug section; a step that had nothing left to do has none. */
export type Plugs = ReadonlyMap<string, readonly string[]>;
const flat = (plugs: Plugs): string[] => [...plugs.values()].flat();

/** After a switch-over only forward; a morph can take a plug back until it grows a disk, which nothing undoes. */
export const hotPlug = (m: Making, there: readonly string[]): Plugs => {
  const { input, draft, shape, moves, runner } = m;
  const on = { vmId: input.vm.vmId, epoch: runner.epoch };
  const route = onHost(runner.hostId);
  const plugs = new Map<string, string[]>();
  const note = (step: string, task: string): void => void plugs.set(step, [...(plugs.get(step) ?? []), task]);
  for (const { step, device } of shape.plugs) {
    const only = shape.plugs.filter((p) => p.step === step).length === 1;
    const task = draft.add(hostTasks.plug, {
      name: only ? step : m.name(step, device.id),
      summary: device.kind === 'cpu' ? `Plug CPU ${device.coreId}` : `Plug ${device.sizeMiB} MiB of memory`,
      section: 'hot-plug',
      route,
      after: there,
      deadlineMs: deadlines.plug,
      retry: moves ? retries.onward : retries.host,
      input: { ...on, device },
      compensation: moves
        ? undefined
        : undoing(hostTasks.unplug, { ...on, device: { kind: device.kind, id: device.id } }, route, deadlines.unplug),
    });
    note(step, task);
  }
  const waits = moves ? there : [...there, ...flat(plugs), ...onlineFirst(m)];
  shape.growths.forEach(({ step, disk, sizeMiB }, i) => {
    const first = shape.growths[0]!.step;
    const task = draft.add(hostTasks.resizeDisk, {
      name: step,
      summary: `Grow the disk ${disk} to ${sizeMiB} MiB`,
      section: 'hot-plug',
      route,
      after: !moves && i > 0 ? [first] : waits,
      deadlineMs: deadlines.plug,
      retry: moves || i > 0 ? retries.onward : retries.host,
      ...(!moves && i === 0 ? { pointOfNoReturn: true } : {}),
      input: { ...on, disk, sizeMiB },
    });
    note(step, task);
  });
  recordPlugged(m, flat(plugs));
  return plugs;
};

/** What a morph brings online before it grows a disk: the steps that wait for no script. */
const onlineFirst = (m: Making): string[] => {
  const list = m.input.template.spec.postMigration;
  const script = list.findIndex((s) => s.kind === 'guest-script');
  const early = script < 0 ? list : list.slice(0, script);
  return early.filter((s) => (s.kind === 'online-cpus' || s.kind === 'online-memory') && partners(m, s).length > 0).map((s) => s.name);
};

const recordPlugged = (m: Making, plugs: readonly string[]): void => {
  const { input, draft, moves } = m;
  if (plugs.length === 0) return;
  const { vmId } = input.vm;
  draft.add(provisioningTasks.recordTopology, {
    name: 'record-plugged',
    summary: 'Record what was plugged',
    section: 'hot-plug',
    route: onService('provisioning'),
    after: moves ? ['switch-over', ...plugs] : plugs,
    retry: moves ? retries.onward : retries.service,
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

/** The hot-plug steps that a step inside the guest builds on, if they have anything to do. */
const partners = (m: Making, step: TemplateStep): string[] => {
  switch (step.kind) {
    case 'online-cpus':
      return m.shape.plugs.filter((p) => p.kind === 'plug-cpus').map((p) => p.step);
    case 'online-memory':
      return m.shape.plugs.filter((p) => p.kind === 'plug-memory').map((p) => p.step);
    case 'grow-filesystem':
      return m.shape.growths.filter((g) => g.disk === step.disk).map((g) => g.step);
    default:
      return [];
  }
};

/**
 * Inside the guest. A step comes after the plugs it builds on; a script is a barrier: it sees all before it done, and what follows
 * waits for it. So the order written counts where it can matter, and the rest runs side by side.
 */
export const postMigration = (m: Making, plugs: Plugs, there: readonly string[]): void => {
  const all = flat(plugs);
  let barrier: string[] = [];
  let since: string[] = [];
  for (const step of m.input.template.spec.postMigration) {
    const needed = partners(m, step);
    if (step.kind === 'guest-script') {
      const before = [...barrier, ...since, ...(barrier.length > 0 ? [] : all)];
      barrier = [guestStep(m, step, before.length > 0 ? before : there)];
      since = [];
    } else if (needed.length > 0) since.push(guestStep(m, step, [...barrier, ...needed.flatMap((s) => plugs.get(s) ?? [])]));
  }
};

const guestStep = (m: Making, step: TemplateStep, after: readonly string[]): string => {
  const { input, draft, moves, runner, shape } = m;
  const on = { vmId: input.vm.vmId, epoch: runner.epoch };
  const route = onHost(runner.hostId);
  const common = {
    name: step.name,
    section: 'post-migration',
    route,
    after,
    deadlineMs: deadlines.guest,
    retry: moves ? retries.onward : retries.host,
  } as const;
  switch (step.kind) {
    case 'online-cpus': {
      const undo = undoing(guestTasks.offlineCpus, { ...on, vcpus: vcpusOf(shape.moved) }, route, deadlines.guest);
      return draft.add(guestTasks.onlineCpus, {
        ...common,
        summary: `Bring ${step.vcpus} CPUs online`,
        input: { ...on, vcpus: step.vcpus },
        compensation: moves ? undefined : undo,
      });
    }
    case 'online-memory':
      return draft.add(guestTasks.onlineMemory, {
        ...common,
        summary: `Bring ${step.memoryMiB} MiB online`,
        input: { ...on, memoryMiB: step.memoryMiB },
      });
    case 'grow-filesystem':
      return draft.add(guestTasks.growFileSystem, {
        ...common,
        summary: `Grow the file system on ${step.disk}`,
        input: { ...on, disk: step.disk },
      });
    case 'guest-script': {
      const task: NewTask<typeof guestTasks.runScript> = {
        ...common,
        summary: 'Run a script in the guest',
        deadlineMs: step.timeoutMs + deadlines.scriptMargin,
        retry: scriptRetry(step, common.retry),
        input: { ...on, ...scriptInput(step, step.script) },
        compensation: moves ? undefined : undoScript(step, input.vm, runner.hostId),
      };
      return draft.add(guestTasks.runScript, task);
    }
    default:
      throw new Error(`${step.kind} is no step inside a guest`); // validated before: template-faults.ts
  }
};
