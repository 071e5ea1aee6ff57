import { consumerText, resourceAllocationTasks as tasks, type InputOf } from '@chrysalis/contracts';
import { moveConsumer, vmConsumer } from '@chrysalis/resource-allocation-core';
import { done, Executor, failpoint, OnTask, refused, type ResultOf, type TaskContext } from '@chrysalis/service-kit';
import { decideHost } from '../decide-host.ts';
import { poolsLeft, swapRoomOn } from '../pools/room.ts';
import { lockHosts } from '../sql/hosts.ts';
import { lockConsumers } from '../sql/ledger.ts';

@Executor()
export class Swap {
  /**
   * Two hosts, one commit. The source goes first, because the VM's one row in the ledger moves; where the target then refuses, the task
   * fails, and the kit rolls its whole effect back: the source's hold stays.
   */
  @OnTask(tasks.swap)
  async swap(
    { moveId, vmId, fromHost, toHost, amounts, room = [] }: InputOf<typeof tasks.swap>,
    ctx: TaskContext,
  ): ResultOf<typeof tasks.swap> {
    const { schema } = ctx.store;
    const vm = vmConsumer(vmId);
    await lockConsumers(ctx.tx, schema, [consumerText(vm), consumerText(moveConsumer(moveId))]);
    await lockHosts(ctx.tx, schema, [fromHost, toHost]);
    if (fromHost !== toHost) {
      const reason = `moved to ${toHost} by ${moveId}`;
      const released = await decideHost(ctx, fromHost, { type: 'release', hostId: fromHost, consumer: vm, reason });
      if (!released.ok) return refused(released.rejection);
      await failpoint('allocation.swap:between', { moveId });
    }
    const swapped = await decideHost(ctx, toHost, { type: 'swap', hostId: toHost, moveId, vmId, amounts });
    if (!swapped.ok) return refused(swapped.rejection);
    if (swapped.state.status === 'known') {
      const { facts } = swapped.state;
      const left = fromHost === toHost ? [] : await poolsLeft(ctx, facts, vmId);
      await swapRoomOn(ctx, facts, { moveId, vmId, room, left });
    }
    return done({});
  }
}
