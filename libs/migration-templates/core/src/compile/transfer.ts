import { hostTasks, memoryMiBOf, provisioningTasks } from '@chrysalis/contracts';
import { shaped, type Making } from './making.ts';
import { onHost, onService, output, undoing } from './draft.ts';
import { deadlines, retries, transferDeadlineMs } from './timings.ts';

const section = 'migration';

/**
 * The target is prepared beside the steps at the source: its topology is known before they have run. `transfer` ends with the source
 * fenced and the target running; from there on only forward. Answers what the plugs wait for.
 */
export const transferAndSwitch = (m: Making, gate: readonly string[], atSource: readonly string[]): string[] => {
  const { input, draft, newEpoch, shape } = m;
  const { vm, target, moveId } = input;
  const { method, downtimeLimitMs, maxBandwidthMiBps } = input.template.spec.options;
  const onTarget = { vmId: vm.vmId, epoch: newEpoch, moveId };
  draft.add(hostTasks.prepareTarget, {
    name: 'prepare-target',
    summary: `Start the waiting VM on ${target.hostId}`,
    section,
    route: onHost(target.hostId),
    after: gate,
    deadlineMs: deadlines.prepare,
    retry: retries.host,
    input: { ...onTarget, tenant: vm.tenant, ...shaped(m, 'moved') },
    compensation: undoing(hostTasks.discardTarget, onTarget, onHost(target.hostId), deadlines.host),
  });
  const transfer = draft.add(hostTasks.transfer, {
    name: 'transfer',
    summary: `Move the running state from ${vm.hostId} to ${target.hostId}`,
    section,
    route: onHost(vm.hostId),
    after: ['prepare-target', ...atSource, ...(input.guest ? ['guest-facts'] : [])],
    deadlineMs: transferDeadlineMs(memoryMiBOf(shape.moved), maxBandwidthMiBps),
    retry: retries.transfer,
    pointOfNoReturn: true,
    input: {
      vmId: vm.vmId,
      epoch: vm.epoch,
      newEpoch,
      moveId,
      method,
      migrationAddress: output('prepare-target', 'migrationAddress'),
      peerAddress: output('prepare-target', 'peerAddress'),
      peerToken: output('prepare-target', 'peerToken'),
      downtimeLimitMs,
      maxBandwidthMiBps,
    },
  });
  const confirm = draft.add(hostTasks.confirmTarget, {
    name: 'confirm-target',
    summary: `See the VM run on ${target.hostId} with the right hardware`,
    section,
    route: onHost(target.hostId),
    after: [transfer],
    deadlineMs: deadlines.host,
    retry: retries.onward,
    input: { ...onTarget, topologyHash: shaped(m, 'moved').topologyHash },
  });
  draft.add(provisioningTasks.switchOver, {
    name: 'switch-over',
    summary: `Record that the VM runs on ${target.hostId}`,
    section,
    route: onService('provisioning'),
    retry: retries.onward,
    input: {
      vmId: vm.vmId,
      moveId,
      fromHost: vm.hostId,
      toHost: target.hostId,
      epoch: newEpoch,
      topology: output(confirm, 'topology'),
      topologyHash: output(confirm, 'topologyHash'),
    },
  });
  return [confirm];
};
