import { guestTasks, hostTasks, literal, provisioningTasks, type TemplateStep } from '@chrysalis/contracts';
import { shaped, type Making } from './making.ts';
import { onHost, onService, undoing } from './draft.ts';
import { deadlines, retries, type Retry } from './timings.ts';

export type Script = Extract<TemplateStep, { kind: 'guest-script' }>;
const MAX_OUTPUT_BYTES = 16_384;

/** A step's script as an input: what its author wrote arrives as it is, whatever it looks like to the workflow. */
export const scriptInput = ({ timeoutMs, okExitCodes }: Script, script: string) => ({
  script: literal(script),
  timeoutMs,
  maxOutputBytes: MAX_OUTPUT_BYTES,
  ...(okExitCodes ? { okExitCodes } : {}),
});

/**
 * A script runs once, or as often as its author says: tried again otherwise only where it has certainly not begun. An undo is asked for
 * again also where nobody could say what became of it, since without it the guest would keep what the script did.
 */
export const scriptRetry = ({ attempts = 1 }: Script, usual: Retry, action: 'run' | 'undo' = 'run'): Retry => {
  if (attempts > 1) return { ...usual, attempts };
  return { ...usual, codes: [...notBegun, ...(action === 'undo' ? unheard : [])] };
};
const notBegun = ['guest.busy', 'guest.script_not_started'];
const unheard = ['guest.unreachable', 'guest.timeout', 'guest.agent_restarted', 'workflow.deadline_passed'];

/** The author's scripts at the source, in the author's order. Answers what comes next waits for. */
export const preMigration = ({ input, draft }: Making, gate: readonly string[]): string[] => {
  const { vm } = input;
  let last = [...gate];
  for (const step of input.template.spec.preMigration) {
    if (step.kind !== 'guest-script') continue;
    const deadlineMs = step.timeoutMs + deadlines.scriptMargin;
    const name = draft.add(guestTasks.runScript, {
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

export const undoScript = (step: Script, vm: { vmId: string; epoch: number }, hostId: string) =>
  step.undo
    ? {
        ...undoing(
          guestTasks.runScript,
          { vmId: vm.vmId, epoch: vm.epoch, ...scriptInput(step, step.undo) },
          onHost(hostId),
          step.timeoutMs + deadlines.scriptMargin,
        ),
        retry: scriptRetry(step, retries.undo, 'undo'),
      }
    : undefined;

/** Devices that the new type lacks go before the move. The topology recorded is the one the target is made from. */
export const hotUnplug = (m: Making, after: readonly string[]): string[] => {
  const { input, draft, shape } = m;
  const { vm } = input;
  const on = { vmId: vm.vmId, epoch: vm.epoch };
  const removed = shape.removals.map(({ step, device }) =>
    draft.add(hostTasks.unplug, {
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
  const record = draft.add(provisioningTasks.recordTopology, {
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
