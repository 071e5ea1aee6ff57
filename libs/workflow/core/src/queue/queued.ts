import type { Cause, WorkflowEvent } from '@chrysalis/contracts';
import { accept, type Decision } from '@chrysalis/kernel';
import type { WorkflowRejection } from '../instance/commands.ts';
import { CANCELLED } from '../instance/retry.ts';
import type { Queued } from '../instance/state.ts';

type Answer = Decision<WorkflowEvent, WorkflowRejection>;

/** The cause of a request that waited in the queue until its time was over. */
export const QUEUE_DEADLINE_PASSED = 'workflow.queue_deadline_passed';

/** Nothing of it has begun: there is nothing to undo. */
export const cancelQueued = (state: Queued, reason: string, at: string): Answer =>
  end(state, 'cancelled', { code: CANCELLED, message: reason }, at);

export const expireQueued = (state: Queued, at: string): Answer => {
  if (Date.parse(at) < Date.parse(state.expiresAt)) return accept();
  const message = `it was not started by ${state.expiresAt}`;
  return end(state, 'undone', { code: QUEUE_DEADLINE_PASSED, message, retriable: true }, at);
};

const end = ({ workflowId, subject, name }: Queued, state: 'cancelled' | 'undone', cause: Cause, at: string): Answer =>
  accept({ type: 'chrysalis.workflow.instance.ended.v1', data: { workflowId, subject, name, state, cause, output: {}, at } });
