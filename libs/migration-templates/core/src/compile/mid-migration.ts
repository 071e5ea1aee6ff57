import { guestTasks, hostTasks } from '@chrysalis/contracts';
import type { MoveContext } from './context.ts';
import { scriptInput, scriptRetry } from './guest-script.ts';
import { onHost } from './task-list.ts';
import { deadlines, retries } from './timings.ts';

const section = 'mid-migration';
const midOf = ({ input }: MoveContext) => input.template.spec.midMigration;

/** What the target does by itself, with no word of the control plane while the guest stands still, and how long its place is kept back. */
export const toTarget = (m: MoveContext) => {
  const { withinMs = 0, running = [] } = midOf(m) ?? {};
  const { stopped } = m.shape;
  return {
    ...(stopped.length > 0 ? { stopped: { devices: stopped.map((p) => p.device), withinMs } } : {}),
    ...(running.length > 0 ? { announceWithinMs: withinMs } : {}),
  };
};

/** Of the source: it asks for that before its fence. */
export const stoppedWithin = (m: MoveContext): { stoppedWithinMs?: number } =>
  m.shape.stopped.length > 0 ? { stoppedWithinMs: midOf(m)!.withinMs } : {};

/** One after the other, as soon as the guest runs at the target; after the fence there is only forward. */
export const running = (m: MoveContext, transferred: string): string | undefined => {
  const { tasks, input, runner } = m;
  let last: string | undefined;
  for (const step of midOf(m)?.running ?? []) {
    if (step.kind !== 'guest-script') continue; // judged before: template-faults.ts
    last = tasks.add(guestTasks.runScript, {
      name: step.name,
      summary: 'Run a script in the guest before its new place is announced',
      section,
      route: onHost(runner.hostId),
      after: [last ?? transferred],
      deadlineMs: step.timeoutMs + deadlines.scriptMargin,
      retry: scriptRetry(step, retries.forward),
      input: { vmId: input.vm.vmId, epoch: runner.epoch, ...scriptInput(step, step.script) },
    });
  }
  return last;
};

/** The host announces it by itself where these take longer than they may. */
export const announced = (m: MoveContext, after: string | undefined): string[] => {
  if (after === undefined) return [];
  const { tasks, input, runner } = m;
  return [
    tasks.add(hostTasks.announce, {
      name: m.name('announce'),
      summary: `Announce the place of ${input.vm.vmId} on its networks`,
      section,
      route: onHost(runner.hostId),
      after: [after],
      deadlineMs: deadlines.host,
      retry: retries.forward,
      input: { vmId: input.vm.vmId, epoch: runner.epoch, moveId: input.moveId },
    }),
  ];
};
