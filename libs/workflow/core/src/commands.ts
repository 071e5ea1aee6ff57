import type { TaskReport, WorkflowRequest } from '@chrysalis/contracts';
import type { Fault } from './faults.ts';

/** `at` is ISO 8601 in UTC: the clock comes in with the command. */
export type WorkflowCommand =
  | { readonly type: 'start'; readonly request: WorkflowRequest; readonly tenant: string; readonly at: string }
  | { readonly type: 'report'; readonly report: TaskReport; readonly at: string }
  | { readonly type: 'tick'; readonly at: string }
  | { readonly type: 'cancel'; readonly reason: string; readonly at: string };

/**
 * - `workflow.unknown`: no such instance.
 * - `workflow.id_reused`: the id belongs to another request.
 * - `workflow.report_stale`: a report for an attempt that is over, or with a token that was never given.
 * - `workflow.report_duplicate`: that attempt has been reported already.
 * - `workflow.task_unknown`: the definition has no such task.
 * - `workflow.past_point_of_no_return`, `workflow.ending`, `workflow.ended`: too late to cancel.
 */
export type WorkflowRejection =
  | { readonly code: 'workflow.unknown' | 'workflow.id_reused' | 'workflow.ended' | 'workflow.ending' | 'workflow.past_point_of_no_return' }
  | {
      readonly code: 'workflow.report_stale';
      readonly task: string;
      readonly attempt: number;
      readonly token: number;
      readonly latestToken: number;
    }
  | { readonly code: 'workflow.report_duplicate'; readonly task: string; readonly attempt: number }
  | { readonly code: 'workflow.task_unknown'; readonly task: string };

/** The cause of an instance that was refused: every fault is in `detail.faults`. */
export const REQUEST_INVALID = 'workflow.request_invalid';
export const faultsText = (faults: readonly Fault[]): string =>
  `${faults.length} fault${faults.length === 1 ? '' : 's'}: ${faults.map((f) => `${f.place}: ${f.message}`).join('; ')}`.slice(0, 2000);
