import type { Change, Coded, TaskBid, TaskHeartbeat, TaskReport, WorkflowRequest } from '@chrysalis/contracts';
import type { Fault } from '../definition/faults.ts';
import type { TaskPhase } from './state.ts';

/** `at` is ISO 8601 in UTC: the clock comes in with the command. */
export type WorkflowCommand =
  | { readonly type: 'start'; readonly request: WorkflowRequest; readonly tenant: string; readonly at: string }
  | { readonly type: 'report'; readonly report: TaskReport; readonly at: string }
  | { readonly type: 'tick'; readonly at: string }
  /** `compensate` false: nothing is undone any more, and what is left is named. */
  | { readonly type: 'cancel'; readonly reason: string; readonly compensate?: boolean; readonly at: string }
  /** Of an instance that has succeeded, and passed no point of no return: its tasks are undone after all. */
  | { readonly type: 'undo'; readonly reason: string; readonly at: string }
  /** `rank`: 0, or more for an executor that failed or let an award lapse not long ago. */
  | { readonly type: 'bid'; readonly bid: TaskBid; readonly rank: number; readonly at: string }
  | { readonly type: 'heartbeat'; readonly heartbeat: TaskHeartbeat; readonly at: string }
  | { readonly type: 'change'; readonly change: Change; readonly actor: string; readonly reason: string; readonly at: string };

/**
 * - `workflow.unknown`: no such instance.
 * - `workflow.not_started`: it waits in the queue; there is nothing to change yet.
 * - `workflow.id_reused`: the id belongs to another request.
 * - `workflow.report_stale`: a report for an attempt that is over, or with a token that was never given.
 * - `workflow.report_duplicate`: that attempt has been reported already.
 * - `workflow.task_unknown`: the definition has no such task.
 * - `workflow.past_point_of_no_return`, `workflow.ending`, `workflow.ended`: too late to cancel, to undo, or to change.
 * - `workflow.offer_closed`: a bid after the award, or for another offer; `workflow.bid_duplicate`, `workflow.bids_full`.
 * - `workflow.task_begun`, `workflow.task_running`, `workflow.task_ended`: what has happened is not rewritten.
 * - `workflow.change_invalid`: the definition would have these faults; `workflow.change_refused`: for the reason given.
 */
export type WorkflowRejection = Coded<
  | {
      readonly code:
        | 'workflow.unknown'
        | 'workflow.not_started'
        | 'workflow.id_reused'
        | 'workflow.ended'
        | 'workflow.ending'
        | 'workflow.past_point_of_no_return';
    }
  | {
      readonly code: 'workflow.report_stale';
      readonly task: string;
      readonly attempt: number;
      readonly token: number;
      readonly latestToken: number;
    }
  | { readonly code: 'workflow.report_duplicate'; readonly task: string; readonly attempt: number }
  | { readonly code: 'workflow.offer_closed' | 'workflow.bids_full'; readonly task: string; readonly offer: number }
  | { readonly code: 'workflow.bid_duplicate'; readonly task: string; readonly offer: number; readonly executor: string }
  | {
      readonly code: 'workflow.task_begun' | 'workflow.task_running' | 'workflow.task_ended';
      readonly task: string;
      readonly phase: TaskPhase;
    }
  | { readonly code: 'workflow.change_invalid'; readonly faults: readonly Fault[]; readonly message: string }
  | { readonly code: 'workflow.change_refused'; readonly task: string; readonly reason: string }
  | { readonly code: 'workflow.task_unknown'; readonly task: string }
>;

/** The cause of an instance that was refused: every fault is in `detail.faults`. */
export const REQUEST_INVALID = 'workflow.request_invalid';
export const faultsText = (faults: readonly Fault[]): string =>
  `${faults.length} fault${faults.length === 1 ? '' : 's'}: ${faults.map((f) => `${f.place}: ${f.message}`).join('; ')}`.slice(0, 2000);
