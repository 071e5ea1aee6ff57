import { faultText, reportOf, taskKey, type Cause, type Outcome, type TaskDispatch, type TaskReport } from '@chrysalis/contracts';
import { setTimeout as sleep } from 'node:timers/promises';
import { JournalClosed, type Journal } from '../durable/journal.ts';
import type { VmStates } from '../durable/vm-states.ts';
import type { Logger as Log } from '@chrysalis/service-kit/log';
import { causeOf } from './cause.ts';
import { Admission } from './admission.ts';
import type { Handler, OnVm, TaskRun } from './handler.ts';
import { TaskFailure } from './task-failure.ts';
import { Turns, type Turn } from './turns.ts';

type Deps = {
  readonly hostId: string;
  readonly handlers: readonly Handler[];
  readonly states: VmStates;
  /** The same for what is not a VM, by its lane. */
  readonly lanes: VmStates;
  readonly journal: Journal;
  readonly log: Log;
  readonly now: () => number;
  /** Of the control plane: what an award's time to begin is counted by, and what reports say. */
  readonly controlNow: () => number;
  /** An execution began; what it answers is called at its end. */
  readonly begun: (key: string, dispatch: TaskDispatch) => () => void;
  readonly measured: (kind: string, ms: number) => void;
  readonly failpoint: (name: string, context: Record<string, string>) => Promise<void>;
  readonly send: (report: TaskReport) => void;
};

/**
 * Runs what the gateway delivers: on each VM in the order of its coming (see turns.ts), each key once. A result is on disk before it is
 * sent. A task that comes again while it runs is ignored, after its end it gets its first result, and after a crash in its middle it runs
 * again, which the handlers allow: what is so already is done.
 */
export class Executor {
  readonly #handlers: ReadonlyMap<string, Handler>;
  readonly #admission: Admission;
  readonly #turns = new Map<string, Turns>();
  readonly #running = new Map<string, { readonly abort: AbortController; readonly token: number }>();

  constructor(private readonly deps: Deps) {
    this.#handlers = new Map(deps.handlers.map((h) => [h.contract.kind, h]));
    this.#admission = new Admission(deps);
  }

  /** Executions that were taken and have no result yet. */
  get running(): number {
    return this.#running.size;
  }

  get kinds(): string[] {
    return [...this.#handlers.keys()];
  }

  /** `leftMs`: until its deadline, as of now; a gateway of before does not say it. Resolves when the result is on disk. */
  async take(dispatch: TaskDispatch, grant?: string, leftMs = Date.parse(dispatch.deadlineAt) - this.deps.controlNow()): Promise<void> {
    const key = taskKey(dispatch);
    const reported = this.deps.journal.get(key);
    if (reported) return this.deps.send(reported);
    if (this.#running.has(key)) return;
    const abort = new AbortController();
    this.#running.set(key, { abort, token: dispatch.token });
    try {
      const startedAt = this.#at();
      const deadlineAt = this.deps.now() + leftMs;
      const outcome = await this.#outcome(dispatch, { dispatch, key, signal: abort.signal, deadlineAt, ...(grant ? { grant } : {}) });
      const report = reportOf(dispatch, outcome, startedAt, this.#at());
      this.deps.send(await this.#written(key, () => this.deps.journal.add(report)));
      const handler = this.#handlers.get(dispatch.kind);
      if (handler) await this.#written(key, () => this.#admission.close(handler, dispatch.input as OnVm, key, outcome));
    } finally {
      this.#running.delete(key);
    }
  }

  /** Its grant was taken back: not begun, stopped where it runs, and its result said where it has one. */
  async revoked(dispatch: TaskDispatch): Promise<void> {
    const key = taskKey(dispatch);
    const reported = this.deps.journal.get(key);
    if (reported) return this.deps.send(reported);
    if (this.#running.has(key)) return this.cancel(dispatch.workflowId, dispatch.task, dispatch.token);
    const begun = this.deps.states.get(String(dispatch.input['vmId']))?.open.includes(key);
    const message = `its grant was revoked ${begun ? 'while it ran; the agent ended in its middle' : 'before it began here'}`;
    const report = reportOf(dispatch, failure({ code: 'grant.revoked', message }), this.#at(), this.#at());
    this.deps.send(await this.#written(key, () => this.deps.journal.add(report)));
  }

  /** Of the executions with this token or an older one: what has not begun does not, and what can be stopped is. */
  cancel(workflowId: string, task: string, token: number): void {
    for (const [key, running] of this.#running)
      if (running.token <= token && key.startsWith(`${workflowId}/${task}/`))
        running.abort.abort(new TaskFailure('task.cancelled', `cancelled at token ${token}`));
  }

  async #outcome(dispatch: TaskDispatch, run: TaskRun): Promise<Outcome> {
    const handler = this.#handlers.get(dispatch.kind);
    if (!handler) return failure({ code: 'executor.kind_unknown', message: `this host agent has no ${dispatch.kind}` });
    if (dispatch.executor !== `host:${this.deps.hostId}`)
      return failure({ code: 'host.wrong_host', message: `this is ${this.deps.hostId}, not ${dispatch.executor}` });
    const input = handler.contract.input.safeParse(dispatch.input);
    if (!input.success) return failure({ code: 'executor.input_invalid', message: faultText(input.error) });
    const lane = handler.lane?.(input.data as never);
    const onVm = input.data as OnVm;
    // Both at once, so that tokens and turns have the order of the tasks' coming.
    const registered = this.#admission.register(handler, onVm, run);
    registered.catch(() => undefined);
    return this.#inTurn(lane ?? onVm.vmId, handler.turn, () => this.#perform(handler, onVm, run, registered));
  }

  async #perform(handler: Handler, input: OnVm, run: TaskRun, registered: Promise<unknown>): Promise<Outcome> {
    const { kind, task, action } = run.dispatch;
    const context = { task, action, hostId: this.deps.hostId, ...(handler.lane ? {} : { vmId: input.vmId }) };
    let ended: (() => void) | undefined;
    try {
      await registered;
      run.signal.throwIfAborted();
      if (this.deps.now() > run.deadlineAt) throw new TaskFailure('task.deadline_passed', `its deadline was ${run.dispatch.deadlineAt}`);
      await this.#admission.begin(handler, input, run);
      ended = this.deps.begun(run.key, run.dispatch);
      await this.deps.failpoint(`task:${kind}:before`, context);
      const began = this.deps.now();
      const output = await handler.run(input as never, run);
      this.deps.measured(kind, this.deps.now() - began);
      await this.deps.failpoint(`task:${kind}:after`, context);
      return { ok: true, output };
    } catch (error) {
      const cause = causeOf(error);
      this.deps.log.warn({ kind, key: run.key, cause, ...(cause.code === 'host.fault' ? { err: error } : {}) }, 'task failed');
      return { ok: false, cause };
    } finally {
      ended?.();
    }
  }

  /**
   * What was done is not done again because a disk was full: the result waits here until it is written, and the task with it, so that one
   * that comes again meanwhile is ignored. An agent that ends before has no result, and does it anew, as after any crash.
   */
  async #written<T>(key: string, write: () => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt++)
      try {
        return await write();
      } catch (err) {
        if (err instanceof JournalClosed) throw err;
        this.deps.log.error({ err, key, attempt }, 'a result could not be written; it is tried again');
        await sleep(Math.min(5_000, 100 * 2 ** Math.min(attempt, 10)), undefined, { ref: false });
      }
  }

  #at(): string {
    return new Date(this.deps.controlNow()).toISOString();
  }

  /** The turns of a VM or lane are there only while something runs or waits. */
  async #inTurn<T>(id: string, turn: Turn, work: () => Promise<T>): Promise<T> {
    const turns = this.#turns.get(id) ?? new Turns();
    this.#turns.set(id, turns);
    try {
      return await turns.run(turn, work);
    } finally {
      if (turns.idle) this.#turns.delete(id);
    }
  }
}

const failure = (cause: Cause): Outcome => ({ ok: false, cause: { ...cause, retriable: false } });
