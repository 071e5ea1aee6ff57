import { agentGatewayEvents, reportOf, taskKey, type Cause, type TaskDispatch } from '@chrysalis/contracts';
import { failpoint, type EventContext } from '@chrysalis/service-kit';
import { admitUnderGrant } from '../grants/admit-under-grant.ts';
import { foreignVm } from '../grants/vm-tenants.ts';
import { keep, markReported } from '../sql/pending-tasks.ts';
import { signal } from './wire.ts';

/** A dispatched task: kept for its host, or failed at once when no grant covers it, or its VM is another tenant's. One transaction with the inbox row. */
export const acceptTask = async (dispatch: TaskDispatch, ctx: EventContext): Promise<void> => {
  const key = taskKey(dispatch);
  await failpoint('gateway:task:before', { kind: dispatch.kind, task: dispatch.task });
  const hostId = /^host:([a-z][a-z0-9-]{0,62})$/.exec(dispatch.executor)?.[1];
  const { correlationId, tenant, causationId, traceparent } = ctx.meta;
  const meta = { correlationId, tenant, ...(causationId ? { causationId } : {}), ...(traceparent ? { traceparent } : {}) };
  if (!(await keep(ctx.tx, key, hostId ?? '', dispatch, meta))) return;
  if (!hostId) return failNow(dispatch, ctx, { code: 'executor.unknown', message: `${dispatch.executor} is not a host`, retriable: false });
  const refusal = (await admitUnderGrant(dispatch, ctx)) ?? (await foreignVm(dispatch, ctx.tx));
  if (refusal) return failNow(dispatch, ctx, refusal);
  await signal(ctx.tx, { to: 'work', hostId });
};

const failNow = async (dispatch: TaskDispatch, ctx: EventContext, cause: Cause): Promise<void> => {
  await ctx.append(`task-${dispatch.workflowId}`, 'any', {
    type: agentGatewayEvents.taskReported.type,
    data: reportOf(dispatch, { ok: false, cause }, ctx.now),
  });
  await markReported(ctx.tx, [taskKey(dispatch)]);
};
