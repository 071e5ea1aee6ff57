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
import type { Making } from './compile-move.ts';
import { onHost, onService, output, param } from './draft.ts';
import { deadlines, retries } from './timings.ts';

const section = 'verify';
const MIB = 1_048_576;

/**
 * Delivered, not requested; then the source goes, the holds are swapped, the type is written down and the VM let go. The source's hold
 * ends only when its QEMU has. Answers the instance's output.
 */
export const finish = (m: Making): Record<string, unknown> => {
  const { input, draft, moves } = m;
  const { vm, target, moveId, template } = input;
  const { vmId } = vm;
  const to = template.spec.options.targetType;
  if (input.guest) verifyGuest(m);
  const settled = draft.ends();
  const last = moves
    ? draft.add(hostTasks.releaseSource, {
        name: 'release-source',
        summary: `End the fenced VM on ${vm.hostId}`,
        section,
        route: onHost(vm.hostId),
        after: settled,
        deadlineMs: deadlines.host,
        retry: retries.onward,
        input: { vmId, epoch: vm.epoch, moveId },
      })
    : undefined;
  const swap = draft.add(resourceAllocationTasks.swap, {
    name: 'swap-holds',
    summary: "The move's hold becomes the VM's",
    section,
    route: onService('resource-allocation'),
    after: last ? [last] : settled,
    retry: retries.onward,
    input: { moveId, vmId, fromHost: vm.hostId, toHost: m.runner.hostId, amounts: amountsOf(target.spec) },
    // A morph may be undone up to here; a disk that was grown has closed that way before.
    ...(moves || m.shape.growths.length > 0 ? {} : { pointOfNoReturn: true }),
  });
  const changed = refText(vm.type) === refText(to) ? [] : [changeType(m, moves ? settled : [swap])];
  draft.add(provisioningTasks.endMove, {
    name: 'end-move',
    summary: `Let go of ${vmId}`,
    section,
    route: onService('provisioning'),
    after: [swap, ...changed],
    retry: retries.onward,
    input: { vmId, moveId, outcome: 'succeeded' },
  });
  return outputOf(m);
};

const changeType = ({ input, draft }: Making, after: readonly string[]): string =>
  draft.add(provisioningTasks.changeType, {
    name: 'change-type',
    summary: `The VM is a ${refText(input.template.spec.options.targetType)} now`,
    section,
    route: onService('provisioning'),
    after,
    retry: retries.onward,
    input: {
      vmId: input.vm.vmId,
      moveId: input.moveId,
      from: input.vm.type,
      to: input.template.spec.options.targetType,
      spec: param('targetSpec'),
    },
  });

const verifyGuest = (m: Making): string => {
  const { draft, runner, shape, moves } = m;
  const own = new Set(m.input.target.spec.disks.map((d) => d.id));
  return draft.add(guestTasks.verify, {
    name: 'verify-guest',
    summary: 'See in the guest that it has exactly this',
    section,
    route: onHost(runner.hostId),
    after: draft.ends(),
    deadlineMs: deadlines.guest,
    retry: moves ? retries.onward : retries.host,
    input: {
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
