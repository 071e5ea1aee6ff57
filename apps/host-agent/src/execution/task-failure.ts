import type { Cause, Code } from '@chrysalis/contracts';

/** An expected failure of a task: the code goes to the control plane unchanged. */
export class TaskFailure extends Error {
  constructor(
    readonly code: Code,
    message: string,
    readonly retriable = false,
    readonly detail?: unknown,
  ) {
    super(message);
    this.name = 'TaskFailure';
  }

  /** What the other host said, or this one wrote down: its code goes on as it came, listed or not. */
  static told({ code, message }: Pick<Cause, 'code' | 'message'>, detail?: unknown): TaskFailure {
    return new TaskFailure(code as Code, message, false, detail);
  }
}
