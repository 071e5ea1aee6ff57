import { volumeTasks as tasks, type Cause, type InputOf, type Topology } from '@chrysalis/contracts';
import { volumes } from '@chrysalis/provisioning-core';
import { done, Executor, OnTask, refused, type ResultOf, type TaskContext, type TaskResult } from '@chrysalis/service-kit';
import { endCopyOf } from './copy.ts';
import { decideVolume } from './decide-volume.ts';
import { unlockVm } from '../lock-vm.ts';

type Input<K extends keyof typeof tasks> = InputOf<(typeof tasks)[K]>;
type Result<K extends keyof typeof tasks> = ResultOf<(typeof tasks)[K]>;

const decided = async <O extends Record<string, unknown>>(
  ctx: TaskContext,
  command: Exclude<volumes.VolumeCommand, { type: 'request' }>,
  output: (volume: volumes.KnownVolume) => O,
): Promise<TaskResult<O>> => {
  const result = await decideVolume(ctx, command.volumeId, command);
  return result.ok ? done(output(result.volume)) : refused(result.rejection);
};
const nothing = (): Record<string, never> => ({});

/** What came of it is said of the volume and of the VM that has it in one commit. */
const withVm = async (
  ctx: TaskContext,
  command: Exclude<volumes.VolumeCommand, { type: 'request' }>,
  vmId: string | undefined,
  shape: { topology?: Topology | undefined; topologyHash?: string | undefined },
): Promise<TaskResult<Record<string, never>>> => {
  const result = await decideVolume(ctx, command.volumeId, command);
  if (!result.ok) return refused(result.rejection);
  if (vmId === undefined) return done({});
  const { topology, topologyHash } = shape;
  const unlocked = await unlockVm(ctx, { vmId, workflowId: ctx.dispatch.workflowId, shape: { topology, topologyHash } });
  return unlocked.ok ? done({}) : refused(unlocked.rejection);
};

const undone: Cause = { code: volumes.VOLUME_CREATION_UNDONE, message: 'A later step failed; what was made of the volume is deleted' };

/** Each is a command to the volume's stream, which is idempotent by itself; the inbox takes out exact repetitions before. */
@Executor()
export class VolumeTasks {
  @OnTask(tasks.recordVolumeCreated)
  async recordCreated(input: Input<'recordVolumeCreated'>, ctx: TaskContext): Result<'recordVolumeCreated'> {
    const result = await decideVolume(ctx, input.volumeId, { type: 'record-created', ...input });
    if (!result.ok) return refused(result.rejection);
    const { pool, poolId, hostId, from } = result.volume;
    await endCopyOf(ctx, from, ctx.dispatch.workflowId);
    return done({ pool, ...(poolId === undefined ? {} : { poolId }), ...(hostId === undefined ? {} : { hostId }) });
  }

  @OnTask(tasks.failVolumeCreation)
  failCreation({ volumeId }: Input<'failVolumeCreation'>, ctx: TaskContext): Result<'failVolumeCreation'> {
    return decided(ctx, { type: 'fail-creation', volumeId, cause: undone, left: true }, nothing);
  }

  @OnTask(tasks.recordVolumeAttached)
  recordVolumeAttached({ seen = false, ...input }: Input<'recordVolumeAttached'>, ctx: TaskContext): Result<'recordVolumeAttached'> {
    const { volumeId, vmId } = input;
    const { workflowId } = ctx.dispatch;
    return withVm(ctx, { type: 'record-attached', volumeId, vmId, workflowId, seen }, vmId, input);
  }

  @OnTask(tasks.recordVolumeDetached)
  recordVolumeDetached(input: Input<'recordVolumeDetached'>, ctx: TaskContext): Result<'recordVolumeDetached'> {
    const { volumeId, vmId } = input;
    return withVm(ctx, { type: 'record-detached', volumeId, vmId, workflowId: ctx.dispatch.workflowId }, vmId, input);
  }

  @OnTask(tasks.recordVolumeGrown)
  recordVolumeGrown({ seen = false, ...input }: Input<'recordVolumeGrown'>, ctx: TaskContext): Result<'recordVolumeGrown'> {
    const { volumeId, vmId, sizeMiB } = input;
    return withVm(ctx, { type: 'record-grown', volumeId, sizeMiB, workflowId: ctx.dispatch.workflowId, seen }, vmId, input);
  }

  @OnTask(tasks.recordVolumeDeleted)
  recordDeleted(input: Input<'recordVolumeDeleted'>, ctx: TaskContext): Result<'recordVolumeDeleted'> {
    return decided(ctx, { type: 'record-deleted', ...input }, nothing);
  }
}
