import { consumerText, resourceAllocationTasks } from '@chrysalis/contracts';
import { done, handleTask, refused } from '@chrysalis/service-kit';
import { decideHost } from '../decide-host.ts';
import { lockHosts } from '../sql/hosts.ts';
import { hostOf, lockConsumers, noteRelease } from '../sql/ledger.ts';

/** Ends what the consumer holds, wherever that is. Also where it holds nothing: the release is noted, so that a late placement is refused. */
export const releaseTask = handleTask(resourceAllocationTasks.release, async ({ consumer, reason }, ctx) => {
  const { schema } = ctx.store;
  const text = consumerText(consumer);
  await lockConsumers(ctx.tx, schema, [text]);
  await noteRelease(ctx.tx, schema, text, ctx.dispatch.workflowId, ctx.dispatch.token);
  const hostId = await hostOf(ctx.tx, schema, text);
  if (hostId === undefined) return done({});
  await lockHosts(ctx.tx, schema, [hostId]);
  const decided = await decideHost(ctx, hostId, { type: 'release', hostId, consumer, reason: reason.slice(0, 255) });
  return decided.ok ? done({}) : refused(decided.rejection);
});
