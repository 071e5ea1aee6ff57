import type { TaskContract, TaskDispatch } from '@chrysalis/contracts';
import type { VmState } from '../durable/vm-state.ts';
import type { Turn } from './turns.ts';

export type OnVm = { readonly vmId: string; readonly epoch: number };
export type TaskRun = {
  readonly dispatch: TaskDispatch;
  readonly key: string;
  /** The signed grant that the gateway found to cover a task in the guest. */
  readonly grant?: string;
  /** Aborts when the gateway cancels the task. */
  readonly signal: AbortSignal;
  /** On this agent's monotonic clock, whatever the machine's own says of the dispatch's `deadlineAt`. */
  readonly deadlineAt: number;
};
export type Handler = {
  readonly contract: TaskContract;
  readonly turn: Turn;
  /** Absent: it is done to the VM that the input names. Else to this thing of the host, one at a time, admitted as for a VM. */
  readonly lane?: (input: never) => string;
  /** Throws a TaskFailure when a VM in this state may not have this done to it at this epoch. */
  readonly admit: (state: VmState | undefined, input: OnVm) => void;
  readonly run: (input: never, run: TaskRun) => Promise<Record<string, unknown>>;
};
