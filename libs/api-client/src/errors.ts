import type { Operation } from './generated/types.gen.ts';

export type Problem = {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail?: string;
  readonly next?: string;
  readonly [member: string]: unknown;
};

/** What the server refused, or that it could not be reached (status 0, code `client.unreachable`). */
export class ApiError extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(`${problem.code}: ${problem.detail ?? problem.title}`);
    this.name = 'ApiError';
    this.problem = problem;
  }

  get code(): string {
    return this.problem.code;
  }

  get status(): number {
    return this.problem.status;
  }

  static of(status: number, body: unknown): ApiError {
    const { code, title, ...rest } = (typeof body === 'object' && body !== null ? body : {}) as Partial<Problem>;
    return new ApiError({ ...rest, status, code: code ?? 'client.no_problem', title: title ?? `the server answered ${status}` });
  }
}

export const unreachable = (server: string, error: unknown): ApiError => {
  const { cause, name, message } = error as Error & { cause?: { code?: string; message?: string } };
  const why = name === 'TimeoutError' ? 'it did not answer in time' : (cause?.code ?? cause?.message ?? message);
  return new ApiError({ status: 0, code: 'client.unreachable', title: 'The server cannot be reached', detail: `${server}: ${why}` });
};

/** Waiting ended; the operation goes on. */
export class OperationTimeout extends Error {
  readonly operation: Operation;

  constructor(operation: Operation, timeoutMs: number) {
    super(
      `operation ${operation.id} still runs after ${timeoutMs / 1000} s (${operation.progress.done} of ${operation.progress.total} ${operation.progress.unit})`,
    );
    this.name = 'OperationTimeout';
    this.operation = operation;
  }
}
