import { guestTasks, hostTasks, literal, provisioningTasks, type TemplateStep } from '@chrysalis/contracts';
import { shaped, type Making } from './compile-move.ts';
import { onHost, onService, undoing } from './draft.ts';
import { deadlines, retries } from './timings.ts';

export type Script = Extract<TemplateStep, { kind: 'guest-script' }>;
export const MAX_OUTPUT_BYTES = 16_384;

/** A script as an input: what its author wrote arrives as it is, whatever it looks like to the workflow. */
export const scriptInput = (script: string, timeoutMs: number) => ({
  script: literal(script),
  timeoutMs,
  maxOutputBytes: MAX_OUTPUT_BYTES,
});

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
      retry: retries.host,
      input: { vmId: vm.vmId, epoch: vm.epoch, ...scriptInput(step.script, step.timeoutMs) },
      compensation: undoScript(step, vm, vm.hostId),
    });
    last = [name];
  }
  return last;
};

export const undoScript = (step: Script, vm: { vmId: string; epoch: number }, hostId: string) =>
  step.undo
    ? undoing(
        guestTasks.runScript,
        { vmId: vm.vmId, epoch: vm.epoch, ...scriptInput(step.undo, step.timeoutMs) },
        onHost(hostId),
        step.timeoutMs + deadlines.scriptMargin,
      )
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
