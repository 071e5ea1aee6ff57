import { guestTasks, vcpusOf, type TemplateStep } from '@chrysalis/contracts';
import type { MoveContext } from './context.ts';
import { scriptInput, scriptRetry, undoScript } from './guest-script.ts';
import { allOf, partners, type Plugs } from './hot-plug.ts';
import { onHost, undoing, type NewTask } from './task-list.ts';
import { deadlines, retries } from './timings.ts';

/**
 * Inside the guest. A step comes after the plugs it builds on; a script is a barrier: it sees all before it done, and what follows
 * waits for it. So the order written counts where it can matter, and the rest runs side by side.
 */
export const postMigration = (m: MoveContext, plugs: Plugs, there: readonly string[]): void => {
  const all = allOf(plugs);
  let barrier: string[] = [];
  let since: string[] = [];
  for (const step of m.input.template.spec.postMigration) {
    const needed = partners(m, step);
    if (step.kind === 'guest-script') {
      const before = [...barrier, ...since, ...(barrier.length > 0 ? [] : all)];
      barrier = [guestStep(m, step, before.length > 0 ? before : there)];
      since = [];
    } else if (bringsBack(m, step, needed)) since.push(guestStep(m, step, barrier.length > 0 ? barrier : there));
    else if (needed.length > 0) {
      const before = [...barrier, ...needed.flatMap((s) => plugs.get(s) ?? [])];
      since.push(guestStep(m, step, before.length > 0 ? before : there)); // what was plugged while it stood still is there with it
    }
  }
};

/** CPUs that were offlined come online again with no plug. */
const bringsBack = ({ shape: { shown, moved } }: MoveContext, step: TemplateStep, needed: readonly string[]): boolean =>
  step.kind === 'online-cpus' && needed.length === 0 && shown.after > shown.before && vcpusOf(moved) > shown.before;

const guestStep = (m: MoveContext, step: TemplateStep, after: readonly string[]): string => {
  const { input, tasks, moves, runner, shape } = m;
  const on = { vmId: input.vm.vmId, epoch: runner.epoch };
  const route = onHost(runner.hostId);
  const common = {
    name: step.name,
    section: 'post-migration',
    route,
    after,
    deadlineMs: deadlines.guest,
    retry: moves ? retries.forward : retries.host,
  } as const;
  switch (step.kind) {
    case 'online-cpus': {
      const undo = undoing(guestTasks.offlineCpus, { ...on, vcpus: shape.shown.before }, route, deadlines.guest);
      return tasks.add(guestTasks.onlineCpus, {
        ...common,
        summary: `Bring ${step.vcpus} CPUs online`,
        input: { ...on, vcpus: step.vcpus },
        compensation: moves ? undefined : undo,
      });
    }
    case 'online-memory':
      return tasks.add(guestTasks.onlineMemory, {
        ...common,
        summary: `Bring ${step.memoryMiB} MiB online`,
        input: { ...on, memoryMiB: step.memoryMiB },
      });
    case 'grow-filesystem':
      return tasks.add(guestTasks.growFileSystem, {
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
      return tasks.add(guestTasks.runScript, task);
    }
    default:
      throw new Error(`${step.kind} is no step inside a guest`); // validated before: template-faults.ts
  }
};
