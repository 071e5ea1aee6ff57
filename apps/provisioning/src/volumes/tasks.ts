import { volumeTasks as tasks, type Cause, type InputOf } from '@chrysalis/contracts';
import { volumes } from '@chrysalis/provisioning-core';
import { done, Executor, OnTask, refused, type ResultOf, type TaskContext, type TaskResult } from '@chrysalis/service-kit';
import { decideVolume } from './decide-volume.ts';

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

const undone: Cause = { code: volumes.VOLUME_CREATION_UNDONE, message: 'A later step failed; what was made of the volume is deleted' };

/** Each is a command to the volume's stream, which is idempotent by itself; the inbox takes out exact repetitions before. */
@Executor()
export class VolumeTasks {
  @OnTask(tasks.recordVolumeCreated)
  recordCreated(input: Input<'recordVolumeCreated'>, ctx: TaskContext): Result<'recordVolumeCreated'> {
    return decided(ctx, { type: 'record-created', ...input }, ({ pool, hostId }) => ({
      pool,
      ...(hostId === undefined ? {} : { hostId }),
    }));
  }

  @OnTask(tasks.failVolumeCreation)
  failCreation({ volumeId }: Input<'failVolumeCreation'>, ctx: TaskContext): Result<'failVolumeCreation'> {
    return decided(ctx, { type: 'fail-creation', volumeId, cause: undone, left: true }, nothing);
  }

  @OnTask(tasks.recordVolumeDeleted)
  recordDeleted(input: Input<'recordVolumeDeleted'>, ctx: TaskContext): Result<'recordVolumeDeleted'> {
    return decided(ctx, { type: 'record-deleted', ...input }, nothing);
  }
}
