import { guestTasks, literal, type TemplateStep } from '@chrysalis/contracts';
import { onHost, undoing } from './task-list.ts';
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
