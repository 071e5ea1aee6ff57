import { hostTasks, memoryMiBOf, provisioningTasks, type CopiedDisk } from '@chrysalis/contracts';
import { copiedMiB } from '../copied-disks.ts';
import { shaped, type MoveContext } from './context.ts';
import { approval, approvalIs, heldFor } from './approval.ts';
import { announced, running, stoppedWithin, toTarget } from './mid-migration.ts';
import { swapHolds } from './hold-swap.ts';
import { onHost, onService, output, undoing } from './task-list.ts';
import { awaitMemory, isPostCopy, postCopyOf } from '../post-copy.ts';
import { shutDownOf } from '../restart.ts';
import { saveDeadlineMs, saves, statePoolOf } from '../save-and-restore.ts';
import { deadlines, retries, shutDownDeadlineMs, transferDeadlineMs } from './timings.ts';

const section = 'migration';

/**
 * The target is prepared beside the steps at the source: its topology is known before they have run. `transfer` ends with the source
 * fenced and the target running; from there on only forward. Answers what the plugs wait for.
 */
export const migration = (m: MoveContext, gate: readonly string[], atSource: readonly string[]): string[] => {
  const prepared = prepareTarget(m, gate);
  const ready = [prepared, ...atSource, ...(m.input.guest && !m.restarts ? ['guest-facts'] : [])];
  const transferred = transfer(m, approval(m, ready));
  return [switchOver(m, transferred), ...awaitMemory(m, memoryDeadline(m)), ...announced(m, running(m, transferred))];
};

const onTargetOf = ({ input: { vm, moveId }, newEpoch }: MoveContext) => ({ vmId: vm.vmId, epoch: newEpoch, moveId });

const prepareTarget = (m: MoveContext, after: readonly string[]): string => {
  const { vm, target } = m.input;
  const onTarget = onTargetOf(m);
  return m.tasks.add(hostTasks.prepareTarget, {
    name: 'prepare-target',
    summary: m.restarts ? `See that ${target.hostId} can start it` : `Start the waiting VM on ${target.hostId}`,
    section,
    route: onHost(target.hostId),
    after,
    deadlineMs: deadlines.prepare,
    retry: retries.host,
    input: {
      ...onTarget,
      tenant: vm.tenant,
      ...shaped(m, 'arriving'),
      ...toTarget(m),
      ...copiesAt(m),
      ...heldFor(m),
      ...(m.restarts ? { cold: true as const } : {}),
      ...(saves(m.input.template.spec) ? { restores: { withinMs: transferDeadline(m) + deadlines.prepare } } : {}),
      ...(isPostCopy(m.input.template.spec) ? { postCopy: true as const } : {}),
      ...(m.input.template.spec.options.streams ? { streams: m.input.template.spec.options.streams } : {}),
    },
    compensation: undoing(hostTasks.discardTarget, onTarget, onHost(target.hostId), deadlines.host),
  });
};

/** `allocation`: as an administrator says of the pool; said by the hold, where it is not thin. */
const copiesAt = (m: MoveContext) => {
  const { copied = [] } = m.input;
  if (copied.length === 0) return {};
  const volumes = copied.map((d) => d.volume);
  return { copies: { volumes, allocation: output('hold-target', 'allocation') as never, withinMs: transferDeadline(m) } };
};

/** For the memory, and the disks that go with it. */
const sendDeadline = ({ input, shape }: Pick<MoveContext, 'input' | 'shape'>): number => {
  const { spec } = input.template;
  const { maxBandwidthMiBps } = spec.options;
  if (saves(spec)) return saveDeadlineMs(shape.moved, maxBandwidthMiBps);
  return transferDeadlineMs(memoryMiBOf(shape.moved) + copiedMiB(input.copied ?? []), maxBandwidthMiBps);
};

/** And until somebody approves of it. */
export const transferDeadline = (m: Pick<MoveContext, 'input' | 'shape'>): number =>
  sendDeadline(m) + (m.input.template.spec.options.approval?.withinMs ?? 0);

/** For what is left of it after a post-copy, and a way that is cut meanwhile. */
export const memoryDeadline = (m: Pick<MoveContext, 'input' | 'shape'>): number => {
  const { spec } = m.input.template;
  return isPostCopy(spec) ? sendDeadline(m) + postCopyOf(spec.options).recoverWithinMs : 0;
};

const transfer = (m: MoveContext, after: readonly string[]): string => {
  const { input, tasks, newEpoch, restarts } = m;
  const { vm, moveId, copied = [] } = input;
  const { options } = input.template.spec;
  const { method, downtimeLimitMs, maxBandwidthMiBps, streams, throttle } = options;
  const shutDown = shutDownOf(options);
  return tasks.add(hostTasks.transfer, {
    name: 'transfer',
    summary: wayOf(m),
    section,
    route: onHost(vm.hostId),
    after,
    deadlineMs: restarts ? shutDownDeadlineMs(shutDown) : transferDeadline(m),
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
      ...stoppedWithin(m),
      ...(approvalIs(m) === 'meanwhile' ? { awaitsApproval: true as const } : {}),
      downtimeLimitMs,
      maxBandwidthMiBps,
      ...(streams ? { streams } : {}),
      ...(throttle ? { throttle } : {}),
      ...(restarts ? { shutDown } : {}),
      ...saveTo(m),
      ...(isPostCopy(input.template.spec) ? { postCopy: { afterPasses: postCopyOf(options).afterPasses } } : {}),
      ...(copied.length > 0 ? { copies: { volumes: copied.map((d) => d.volume), address: output('prepare-target', 'copyAddress') } } : {}),
    },
  });
};

const wayOf = ({ input: { vm, target, template, copied = [] }, restarts }: MoveContext): string => {
  if (restarts) return `Shut it down on ${vm.hostId}, and start it on ${target.hostId}`;
  if (saves(template.spec)) return `Stop it on ${vm.hostId}, save it to a file, and restore it on ${target.hostId}`;
  return `Move the running state${copied.length > 0 ? `, and ${diskNames(copied)},` : ''} from ${vm.hostId} to ${target.hostId}`;
};

/** Where a plan has found no pool for it, it has said so. */
const saveTo = ({ input, shape }: MoveContext) => {
  const pool = saves(input.template.spec) ? statePoolOf(shape.moved) : undefined;
  return pool === undefined ? {} : { saveTo: { pool, ...(input.mapped ? { mapped: true as const } : {}) } };
};

const diskNames = (copied: readonly CopiedDisk[]): string =>
  `${copied.length === 1 ? 'disk' : 'disks'} ${copied.map((d) => d.disk).join(', ')}`;

/** The VM is seen to run at the target, and recorded there. Answers the first of the two. */
const switchOver = (m: MoveContext, transferred: string): string => {
  const { input, tasks, newEpoch } = m;
  const { vm, target, moveId } = input;
  const confirm = tasks.add(hostTasks.confirmTarget, {
    name: 'confirm-target',
    summary: `See the VM run on ${target.hostId} with the right hardware${m.restarts ? ', and its guest up' : ''}`,
    section,
    route: onHost(target.hostId),
    after: [transferred],
    deadlineMs: m.restarts ? deadlines.boot : deadlines.host,
    retry: retries.forward,
    input: { ...onTargetOf(m), topologyHash: shaped(m, 'arrived').topologyHash, ...(m.restarts ? { booted: true as const } : {}) },
  });
  tasks.add(provisioningTasks.switchOver, {
    name: 'switch-over',
    summary: `Record that the VM runs on ${target.hostId}`,
    section,
    route: onService('provisioning'),
    retry: retries.forward,
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
  return confirm;
};

/**
 * The source goes as soon as the target was seen to run and that is recorded: nothing takes its guest back from there on, so it has
 * nothing left to give but the room it takes. Its hold ends only when its QEMU has. Beside the plugs and the steps in the guest.
 */
export const handOver = (m: MoveContext): string[] => {
  const { vm, moveId } = m.input;
  const released = m.tasks.add(hostTasks.releaseSource, {
    name: 'release-source',
    summary: `End the fenced VM on ${vm.hostId}`,
    section,
    route: onHost(vm.hostId),
    after: ['switch-over', ...(isPostCopy(m.input.template.spec) ? ['await-memory'] : [])],
    deadlineMs: deadlines.host,
    retry: retries.forward,
    input: { vmId: vm.vmId, epoch: vm.epoch, moveId },
  });
  return [swapHolds(m, [released])];
};
