import { unreachable } from '@chrysalis/kernel';
import { ProblemError } from '@chrysalis/service-kit';
import type { WorkflowRejection } from '@chrysalis/workflow-core';
import type { OperatorRejection } from '../engine/operator-request.ts';

type Refused = WorkflowRejection | OperatorRejection;

/** A refusal as an answer: its stable code, and a sentence that says what to do. */
export const refused = (rejection: Refused): ProblemError => {
  const message = adviceOn(rejection);
  if (rejection.code === 'workflow.task_unknown') return ProblemError.ofMember({ ...rejection, message });
  return ProblemError.of({ ...rejection, message });
};

const adviceOn = (r: Refused): string => {
  switch (r.code) {
    case 'workflow.unknown':
      return 'There is no such workflow; look for it in the list of workflows.';
    case 'workflow.not_started':
      return 'It waits in the queue and has no graph yet; change it once it runs, or cancel it.';
    case 'workflow.id_reused':
      return 'The id belongs to another request; start it under a new id.';
    case 'workflow.ended':
      return 'It has ended; start a new one. Only a stopped one can be repaired (retry-from, mark-done, skip-task), and only one that succeeded undone.';
    case 'workflow.ending':
      return 'It is being undone, or not done yet; wait for its end.';
    case 'workflow.past_point_of_no_return':
      return 'A point of no return has been passed: nothing is undone any more. Repair it and let it go on, or cancel it without compensation.';
    case 'workflow.report_stale':
    case 'workflow.report_duplicate':
      return 'That execution is over; nothing is to be done.';
    case 'workflow.offer_closed':
    case 'workflow.bids_full':
    case 'workflow.bid_duplicate':
      return 'The offer takes no more bids of yours; wait for the next one.';
    case 'workflow.task_begun':
      return `${r.task} has begun (${r.phase}) and is what it is; change a task that has not, or use retry-from to run it again.`;
    case 'workflow.task_running':
      return `${r.task} runs (${r.phase}); reassign it or mark it done, or wait for its end.`;
    case 'workflow.task_ended':
      return `${r.task} has ended (${r.phase}); use retry-from to run it again.`;
    case 'workflow.task_unknown':
      return `There is no task ${r.task} in it; GET the workflow to see its tasks. An item of a forEach is named like copy.17.`;
    case 'workflow.change_invalid':
      return `The workflow would have ${r.message}. Correct the change and ask again.`;
    case 'workflow.change_refused':
      return `${r.task === '' ? 'Refused' : r.task}: ${r.reason}.`;
    case 'stream.version_mismatch':
      return `It is at version ${r.actual} now; look at what happened, and ask again with that version.`;
    case 'idempotency.key_reused':
      return 'This Idempotency-Key was used for another request; use a new one.';
    default:
      return unreachable(r);
  }
};
