import {
  amountsOf,
  guestTasks,
  hostTasks,
  memoryMiBOf,
  provisioningTasks,
  refText,
  resourceAllocationTasks,
  vcpusOf,
} from '@chrysalis/contracts';
import type { Making } from './making.ts';
import { onHost, onService, output, param } from './draft.ts';
import { deadlines, patience, retries } from './timings.ts';

const section = 'verify';
const MIB = 1_048_576;

/**
 * Delivered, not requested: the VM is let go, as what it has become, when the guest has shown it and every hold is in its place. Answers
 * the instance's output.
 */
export const finish = (m: Making, there: readonly string[], handedOver: readonly string[]): Record<string, unknown> => {
  const { input, draft, moves } = m;
  const { vm, template } = input;
  const to = template.spec.options.targetType;
  if (input.guest) verifyGuest(m, there, handedOver);
  const settled = draft.ends();
  draft.add(provisioningTasks.endMove, {
    name: 'end-move',
    summary: `Let go of ${vm.vmId}${refText(vm.type) === refText(to) ? '' : `: it is a ${refText(to)} now`}`,
    section,
    route: onService('provisioning'),
    after: moves ? settled : [swapHolds(m, settled)],
    retry: retries.onward,
    input: {
      vmId: vm.vmId,
      moveId: input.moveId,
      outcome: 'succeeded',
      ...(refText(vm.type) === refText(to) ? {} : { becomes: { from: vm.type, to, spec: param('targetSpec') as never } }),
    },
  });
  return outputOf(m);
};

/**
 * The source goes as soon as the target was seen to run and that is recorded: nothing takes its guest back from there on, so it has
 * nothing left to give but the room it takes. Its hold ends only when its QEMU has. Beside the plugs and the steps in the guest.
 */
export const handOver = (m: Making): string[] => {
  const { vm, moveId } = m.input;
  const released = m.draft.add(hostTasks.releaseSource, {
    name: 'release-source',
    summary: `End the fenced VM on ${vm.hostId}`,
    section: 'migration',
    route: onHost(vm.hostId),
    after: ['switch-over'],
    deadlineMs: deadlines.host,
    retry: retries.onward,
    input: { vmId: vm.vmId, epoch: vm.epoch, moveId },
  });
  return [swapHolds(m, [released])];
};

const swapHolds = ({ input, draft, moves, runner, shape }: Making, after: readonly string[]): string =>
  draft.add(resourceAllocationTasks.swap, {
    name: 'swap-holds',
    summary: "The move's hold becomes the VM's",
    section: moves ? 'migration' : section,
    route: onService('resource-allocation'),
    after,
    retry: retries.onward,
    input: {
      moveId: input.moveId,
      vmId: input.vm.vmId,
      fromHost: input.vm.hostId,
      toHost: runner.hostId,
      amounts: amountsOf(input.target.spec),
    },
    // A morph may be undone up to here; a disk that was grown has closed that way before.
    ...(moves || shape.growths.length > 0 ? {} : { pointOfNoReturn: true }),
  });

/**
 * Where the guest runs now, and after every step but those that hand over what the source had: they change nothing in it. `there` is
 * said besides, as nothing else waits for it where nothing is plugged and no script runs.
 */
const verifyGuest = (m: Making, there: readonly string[], beside: readonly string[]): string => {
  const { draft, runner, shape } = m;
  const own = new Set(m.input.target.spec.disks.map((d) => d.id));
  return draft.add(guestTasks.verify, {
    name: 'verify-guest',
    summary: 'See in the guest that it has exactly this',
    section,
    route: onHost(runner.hostId),
    when: 'tasks["guest-facts"].state == "succeeded"', // else there is nothing to compare with
    after: [...there, ...draft.ends().filter((name) => !beside.includes(name))],
    ...patience(m, true),
    input: {
      ...(m.needsAgent ? {} : { ifThere: true }),
      vmId: m.input.vm.vmId,
      epoch: runner.epoch,
      expect: {
        bootId: output('guest-facts', 'facts.bootId'),
        vcpus: vcpusOf(shape.after),
        memoryMiB: memoryMiBOf(shape.after),
        disks: shape.after.disks.filter((d) => own.has(d.id)).map((d) => ({ serial: d.serial, minBytes: d.sizeMiB * MIB })),
        macs: shape.after.nics.map((n) => n.mac),
      },
    },
  });
};

const outputOf = ({ input, moves }: Making): Record<string, unknown> => ({
  ...(moves
    ? {
        downtimeMs: output('transfer', 'downtimeMs'),
        totalMs: output('transfer', 'totalMs'),
        transferredBytes: output('transfer', 'transferredBytes'),
        stoppedAt: output('transfer', 'stoppedAt'),
        resumedAt: output('transfer', 'resumedAt'),
      }
    : {}),
  ...(input.guest ? { before: output('guest-facts', 'facts'), after: output('verify-guest', 'facts') } : {}),
});
