import { entryOf, nextOf } from '@chrysalis/contracts/codes';
import { onwardLines } from './show/standing.ts';
import { ApiError, OperationTimeout } from '@chrysalis/api-client';
import { RefusedError, UsageError } from './errors.ts';

/** What a script can rely on. */
export const exits = { ok: 0, failed: 1, usage: 2, notFound: 3, refused: 4, unavailable: 5, timeout: 6, denied: 7 } as const;
export const exitHelp = `Exit codes:
  0  done
  1  failed: an operation ended undone, cancelled, failed or stopped, or something broke
  2  usage: the command or the request had faults
  3  not found
  4  refused: it conflicts with what is (also: a plan with blockers)
  5  unavailable: the control plane or a part of it does not answer
  6  timeout: what was waited for still runs
  7  denied: no token, an invalid one, or one that may not do this`;

export const exitCodeOf = (error: unknown): number => {
  if (error instanceof OperationTimeout) return exits.timeout;
  if (error instanceof UsageError) return exits.usage;
  if (error instanceof RefusedError) return exits.refused;
  return error instanceof ApiError ? ofAnswer(error) : exits.failed;
};

const ofAnswer = ({ status, code }: ApiError): number => {
  if (status === 0 || status === 502 || status === 503 || status === 504) return exits.unavailable;
  if (status === 401 || status === 403) return exits.denied;
  // Named by a member of the body it comes with 422, and is not there all the same.
  if (status === 404 || entryOf(code)?.status === 404) return exits.notFound;
  if (requestHadFaults.has(status)) return exits.usage;
  return status < 500 ? exits.refused : exits.failed;
};
const requestHadFaults: ReadonlySet<number> = new Set([400, 408, 413, 414, 415, 422, 431]);

/** Code, what happened, and what to do next; for people, on stderr. */
export const explain = (error: unknown): string => {
  if (error instanceof ApiError) {
    const { code, title, detail, errors } = error.problem;
    const faults = faultLines(errors ?? error.problem['faults']);
    const lines = [`error ${code}: ${detail && faults.length === 0 ? detail : title}`, ...faults];
    const next = error.problem.next ?? nextOf(code, error.problem);
    return [...lines, ...evidence(error), ...(next ? [`next: ${next}`] : [])].join('\n');
  }
  if (error instanceof OperationTimeout)
    return [`timeout: ${error.message}`, `next: chrysalis operation wait ${error.operation.id}`, ...onwardLines(error.operation)].join(
      '\n',
    );
  if (error instanceof UsageError) return `error: ${error.message}`;
  return `error: ${error instanceof Error ? error.message : String(error)}`;
};

/** Of a request (`path`) or of a template (`place`). */
const faultLines = (faults: unknown): string[] =>
  Array.isArray(faults)
    ? (faults as { path?: string; place?: string; message: string }[]).map((f) => `  ${f.path ?? (f.place || '(all of it)')}: ${f.message}`)
    : [];

const told = new Set(['type', 'title', 'status', 'code', 'detail', 'instance', 'errors', 'faults', 'next']);
const evidence = (error: ApiError): string[] =>
  Object.entries(error.problem)
    .filter(([k, v]) => !told.has(k) && v !== undefined)
    .map(([k, v]) => `  ${k}: ${typeof v === 'object' ? JSON.stringify(v) : String(v)}`);
