import { AGENT_DISK, guestTasks, memoryMiBOf, provisioningTasks, refText, vcpusOf } from '@chrysalis/contracts';
import type { MoveContext } from './context.ts';
import { swapHolds } from './hold-swap.ts';
import { onHost, onService, output, param } from './task-list.ts';
import { patience, retries } from './timings.ts';

const section = 'verify';
const MIB = 1_048_576;

/**
 * Delivered, not requested: the VM is let go, as what it has become, when the guest has shown it and every hold is in its place. Answers
 * the instance's output.
 */
export const verify = (m: MoveContext, there: readonly string[], handedOver: readonly string[]): Record<string, unknown> => {
  const { input, tasks, moves } = m;
  const { vm, template } = input;
  const to = template.spec.options.targetType;
  const compared = input.guest && !m.restarts;
  if (compared) verifyGuest(m, there, handedOver);
  const settled = tasks.ends();
  tasks.add(provisioningTasks.endMove, {
    name: 'end-move',
    summary: `Let go of ${vm.vmId}${refText(vm.type) === refText(to) ? '' : `: it is a ${refText(to)} now`}`,
    section,
    route: onService('provisioning'),
    after: moves ? settled : [swapHolds(m, settled)],
    retry: retries.forward,
    input: {
      vmId: vm.vmId,
      moveId: input.moveId,
      outcome: 'succeeded',
      ...becomes(m),
    },
  });
  return outputOf(m);
};

/** Another type, or the same of which its guest is shown more or less. */
const becomes = ({ input: { vm, template, target }, shape: { after, shown } }: MoveContext): object => {
  const to = template.spec.options.targetType;
  const shows = shown.after < Math.min(vcpusOf(after), target.spec.vcpus.now) ? { vcpus: shown.after } : undefined;
  if (refText(vm.type) === refText(to) && vm.shows?.vcpus === shows?.vcpus) return {};
  return { becomes: { from: vm.type, to, spec: param('targetSpec') as never, ...(shows ? { shows } : {}) } };
};

/**
 * Where the guest runs now, and after every step but those that hand over what the source had: they change nothing in it. `there` is
 * said besides, as nothing else waits for it where nothing is plugged and no script runs.
 */
const verifyGuest = (m: MoveContext, there: readonly string[], beside: readonly string[]): string => {
  const { tasks, runner, shape } = m;
  return tasks.add(guestTasks.verify, {
    name: 'verify-guest',
    summary: 'See in the guest that it has exactly this',
    section,
    route: onHost(runner.hostId),
    when: 'tasks["guest-facts"].state == "succeeded"', // else there is nothing to compare with
    after: [...there, ...tasks.ends().filter((name) => !beside.includes(name))],
    ...patience(m, true),
    input: {
      ...(m.needsAgent ? {} : { ifThere: true }),
      vmId: m.input.vm.vmId,
      epoch: runner.epoch,
      expect: {
        bootId: output('guest-facts', 'facts.bootId'),
        ...cpusOf(m),
        memoryMiB: memoryMiBOf(shape.after),
        // Also those that are no type's: volumes, and the seed. What the agent itself came on it does not count.
        disks: shape.after.disks.filter((d) => d.id !== AGENT_DISK).map((d) => ({ serial: d.serial, minBytes: d.sizeMiB * MIB })),
        macs: shape.after.nics.map((n) => n.mac),
      },
    },
  });
};

/**
 * CPUs that were offlined before this move come online where the guest has rebooted by itself since: how many it has now, nobody said. Those
 * that are offlined, plugged or brought back by the move itself are counted.
 */
const cpusOf = ({ shape: { after, shown, offlined } }: MoveContext): { vcpus?: number } =>
  vcpusOf(after) > shown.after && offlined.length === 0 ? {} : { vcpus: shown.after };

const outputOf = ({ input, moves, restarts }: MoveContext): Record<string, unknown> => ({
  ...(moves
    ? {
        downtimeMs: output('transfer', 'downtimeMs'),
        totalMs: output('transfer', 'totalMs'),
        transferredBytes: output('transfer', 'transferredBytes'),
        stoppedAt: output('transfer', 'stoppedAt'),
        resumedAt: output('transfer', 'resumedAt'),
      }
    : {}),
  ...(input.guest && !restarts ? { before: output('guest-facts', 'facts'), after: output('verify-guest', 'facts') } : {}),
});
