import { guestTasks } from '@chrysalis/contracts';
import type { MoveContext } from './context.ts';
import { scriptInput, scriptRetry, undoScript } from './guest-script.ts';
import { onHost } from './task-list.ts';
import { deadlines, retries } from './timings.ts';

/** The author's scripts at the source, in the author's order. Answers what comes next waits for. */
export const preMigration = ({ input, tasks }: MoveContext, gate: readonly string[]): string[] => {
  const { vm } = input;
  let last = [...gate];
  for (const step of input.template.spec.preMigration) {
    if (step.kind !== 'guest-script') continue;
    const deadlineMs = step.timeoutMs + deadlines.scriptMargin;
    const name = tasks.add(guestTasks.runScript, {
      name: step.name,
      summary: 'Run a script in the guest',
      section: 'pre-migration',
      route: onHost(vm.hostId),
      after: last,
      deadlineMs,
      retry: scriptRetry(step, retries.host),
      input: { vmId: vm.vmId, epoch: vm.epoch, ...scriptInput(step, step.script) },
      compensation: undoScript(step, vm, vm.hostId),
    });
    last = [name];
  }
  return last;
};
