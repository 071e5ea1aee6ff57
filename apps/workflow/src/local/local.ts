import { causeOf, heartbeatOf, reportOf, type Outcome as TaskOutcome, type TaskDispatch } from '@chrysalis/contracts';
import { failpoint } from '@chrysalis/service-kit';
import type { Logger } from 'pino';
import type { Job, Outcome } from '../engine/plan.ts';

/** `signal` is aborted at the dispatch's deadline and when the service stops; `now` is the database's clock, ISO 8601 in UTC. */
export type LocalContext = { readonly dispatch: TaskDispatch; readonly signal: AbortSignal; readonly now: () => string };
/**
 * Executes a task of the group `workflow` in this process. It may run again for the same attempt, after a crash or beside an instance
 * that seemed gone: idempotent by task and attempt, as every executor. What it throws is reported as a failure that may be retried.
 */
export type LocalHandler = (input: Record<string, unknown>, context: LocalContext) => TaskOutcome | Promise<TaskOutcome>;
export type LocalKinds = Readonly<Record<string, LocalHandler>>;

export type LocalOptions = {
  readonly submit: (job: Job) => Promise<Outcome>;
  readonly now: () => number;
  /** Called every BEAT_MS at least with the workflows that have something running here. */
  readonly onBeat: (workflowIds: Iterable<string>) => void;
  readonly log?: Logger | undefined;
};

const BEAT_MS = 500;

/** What runs here of what was given to the group `workflow`, by workflow and token. In memory alone: the log has what was given. */
export class LocalExecutor {
  readonly #handlers = new Map<string, LocalHandler>();
  readonly #running = new Map<string, Map<number, Execution>>();
  #beat: NodeJS.Timeout | undefined;
  #beatMs = BEAT_MS;
  #stopped = false;

  constructor(private readonly o: LocalOptions) {}

  register(kinds: LocalKinds): void {
    for (const [kind, handler] of Object.entries(kinds)) {
      if (this.#handlers.has(kind)) throw new Error(`two handlers for ${kind}`);
      this.#handlers.set(kind, handler);
    }
  }

  get kinds(): string[] {
    return [...this.#handlers.keys()];
  }

  runs(workflowId: string, token: number): boolean {
    return this.#running.get(workflowId)?.has(token) ?? false;
  }

  /** Starts it, unless it runs. Its outcome goes to the engine as a report. */
  run(dispatch: TaskDispatch): void {
    if (this.#stopped || this.runs(dispatch.workflowId, dispatch.token)) return;
    const execution = new Execution(dispatch, () => new Date(this.o.now()).toISOString());
    const { workflowId, token } = dispatch;
    const others = this.#running.get(workflowId);
    if (others) others.set(token, execution);
    else this.#running.set(workflowId, new Map([[token, execution]]));
    this.#beatEvery(Math.min(BEAT_MS, (dispatch.heartbeatMs ?? Infinity) / 3));
    void this.#execute(execution);
  }

  #beatEvery(ms: number): void {
    if (this.#beat && ms >= this.#beatMs) return;
    clearInterval(this.#beat);
    this.#beatMs = ms;
    this.#beat = setInterval(() => this.#onBeat(), ms).unref();
  }

  /** Lets go of everything: whoever looks next finds it open and runs it again. Answers whose tasks they were. */
  stop(): readonly string[] {
    this.#stopped = true;
    clearInterval(this.#beat);
    for (const executions of this.#running.values()) for (const execution of executions.values()) execution.abort('the service stops');
    const left = [...this.#running.keys()];
    this.#running.clear();
    return left;
  }

  /** It counts as running until its report is committed, so that no other instance takes the workflow for abandoned between two steps. */
  async #execute(execution: Execution): Promise<void> {
    const { dispatch } = execution;
    const startedAt = execution.now();
    const outcome = await this.#outcomeOf(execution);
    if (!this.runs(dispatch.workflowId, dispatch.token)) return; // its deadline has passed, or the service stops
    const { workflowId, task } = dispatch;
    const report = reportOf(dispatch, outcome, startedAt, execution.now());
    try {
      const answer = await this.o.submit({ workflowId, command: { type: 'report', report }, actor: 'service:workflow' });
      if (!answer.ok) this.o.log?.info({ rejection: answer.rejection, workflowId, task }, 'a report of this instance was refused');
    } catch (err) {
      this.o.log?.warn({ err, workflowId, task }, 'a report could not be written; the task will run again');
    }
    this.#forget(execution);
  }

  async #outcomeOf(execution: Execution): Promise<TaskOutcome> {
    const { kind, input, workflowId, token } = execution.dispatch;
    const handler = this.#handlers.get(kind);
    if (!handler)
      return { ok: false, cause: { code: 'executor.kind_unknown', message: `nothing here executes ${kind}`, retriable: false } };
    try {
      await failpoint('workflow:local', { kind });
      return await handler(input, execution);
    } catch (err) {
      if (this.runs(workflowId, token)) this.o.log?.warn({ err, kind, workflowId }, 'a local task failed');
      return { ok: false, cause: causeOf(err, 'executor.fault') };
    }
  }

  #heartbeat({ dispatch, now }: Execution): void {
    const { workflowId, task } = dispatch;
    const heartbeat = heartbeatOf(dispatch, now());
    this.o
      .submit({ workflowId, command: { type: 'heartbeat', heartbeat }, actor: 'service:workflow' })
      .catch((err: unknown) => this.o.log?.warn({ err, workflowId, task }, 'a heartbeat could not be written'));
  }

  #forget({ dispatch: { workflowId, token } }: Execution): void {
    const executions = this.#running.get(workflowId);
    if (executions?.delete(token) && executions.size === 0) this.#running.delete(workflowId);
  }

  #onBeat(): void {
    const now = this.o.now();
    for (const executions of this.#running.values())
      for (const execution of executions.values())
        if (execution.deadlineAt <= now) {
          execution.abort('the deadline has passed');
          this.#forget(execution); // the decider has failed it by its own timer
        } else if (execution.saysSo(now)) this.#heartbeat(execution);
    if (this.#running.size > 0) return this.o.onBeat(this.#running.keys());
    clearInterval(this.#beat);
    this.#beat = undefined;
  }
}

/** The signal is made when it is asked for: most tasks are over before anyone could abort them. */
class Execution implements LocalContext {
  readonly deadlineAt: number;
  #controller: AbortController | undefined;
  #saidAt: number;

  constructor(
    readonly dispatch: TaskDispatch,
    readonly now: () => string,
  ) {
    this.deadlineAt = Date.parse(dispatch.deadlineAt);
    this.#saidAt = Date.parse(now());
  }

  /** It runs as long as its process does: where the task wants to hear of it, this is said often enough. */
  saysSo(now: number): boolean {
    const { heartbeatMs } = this.dispatch;
    if (heartbeatMs === undefined || now - this.#saidAt < heartbeatMs / 3) return false;
    this.#saidAt = now;
    return true;
  }

  get signal(): AbortSignal {
    return (this.#controller ??= new AbortController()).signal;
  }

  abort(why: string): void {
    this.#controller?.abort(new Error(why));
  }
}
