import { consumerText, resourceAllocationTasks as tasks, type InputOf } from '@chrysalis/contracts';
import { done, Executor, OnTask, refused, type ResultOf, type TaskContext } from '@chrysalis/service-kit';
import { decideHost } from '../decide-host.ts';
import { releaseRoomOf } from '../pools/room.ts';
import { lockHosts } from '../sql/hosts.ts';
import { hostOf, lockConsumers, noteRelease } from '../sql/ledger.ts';

@Executor()
export class Release {
  /** Ends what the consumer holds, wherever that is, on a host and in pools. Also where it holds nothing: the release is noted, so that a late placement is refused. */
  @OnTask(tasks.release)
  async release({ consumer, reason }: InputOf<typeof tasks.release>, ctx: TaskContext): ResultOf<typeof tasks.release> {
    const { schema } = ctx.store;
    const text = consumerText(consumer);
    await lockConsumers(ctx.tx, schema, [text]);
    await noteRelease(ctx.tx, schema, text, ctx.dispatch.workflowId, ctx.dispatch.token);
    const why = reason.slice(0, 255);
    const hostId = await hostOf(ctx.tx, schema, text);
    if (hostId !== undefined) {
      await lockHosts(ctx.tx, schema, [hostId]);
      const decided = await decideHost(ctx, hostId, { type: 'release', hostId, consumer, reason: why });
      if (!decided.ok) return refused(decided.rejection);
    }
    await releaseRoomOf(ctx, consumer, text, why);
    return done({});
  }
}
