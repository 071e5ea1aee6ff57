import {
  guestTasks,
  hostTasks,
  Sha256,
  taskKey,
  Topology,
  type Cause,
  type Outcome,
  type TaskContract,
  type TaskDispatch,
  type TaskReport,
} from '@chrysalis/contracts';
import { z } from 'zod';
import type { Journal } from './durable/journal.ts';
import { newVmState, type VmState } from './durable/vm-state.ts';
import type { VmStates } from './durable/vm-states.ts';
import type { Logger as Log } from '@chrysalis/service-kit/log';
import { causeOf } from './cause.ts';
import { TaskFailure } from './move/deps.ts';
import { Turns, type Turn } from './turns.ts';

export type OnVm = { readonly vmId: string; readonly epoch: number };
export type TaskRun = {
  readonly dispatch: TaskDispatch;
  readonly key: string;
  /** The signed grant that the gateway found to cover a task in the guest. */
  readonly grant?: string;
  /** Aborts when the gateway cancels the task. */
  readonly signal: AbortSignal;
  readonly deadlineAt: number;
};
export type Handler = {
  readonly contract: TaskContract;
  readonly turn: Turn;
  /** Throws a TaskFailure when a VM in this state may not have this done to it at this epoch. */
  readonly admit: (state: VmState | undefined, input: OnVm) => void;
  readonly run: (input: never, run: TaskRun) => Promise<Record<string, unknown>>;
};

type Deps = {
  readonly hostId: string;
  readonly handlers: readonly Handler[];
  readonly states: VmStates;
  readonly journal: Journal;
  readonly log: Log;
  readonly now: () => number;
  readonly failpoint: (name: string, context: Record<string, string>) => Promise<void>;
  readonly send: (report: TaskReport) => void;
};

const Shape = z.object({ topology: Topology, topologyHash: Sha256 });
const known = new Map<string, TaskContract>([...Object.values(hostTasks), ...Object.values(guestTasks)].map((c) => [c.kind, c]));
const MAX_WORKFLOWS = 64;

/**
 * Runs what the gateway delivers: on each VM in the order of its coming (see turns.ts), each key once. A result is on disk before it is sent. A task that
 * comes again while it runs is ignored, after its end it gets its first result, and after a crash in its middle it runs again, which
 * the handlers allow: what is so already is done.
 */
export class Executor {
  readonly #handlers: ReadonlyMap<string, Handler>;
  readonly #turns = new Map<string, Turns>();
  readonly #running = new Map<string, AbortController>();

  constructor(private readonly deps: Deps) {
    this.#handlers = new Map(deps.handlers.map((h) => [h.contract.kind, h]));
  }

  /** Resolves when the result is on disk. */
  async take(dispatch: TaskDispatch, grant?: string): Promise<void> {
    const key = taskKey(dispatch);
    const reported = this.deps.journal.get(key);
    if (reported) return this.deps.send(reported);
    if (this.#running.has(key)) return;
    const abort = new AbortController();
    this.#running.set(key, abort);
    try {
      const startedAt = new Date(this.deps.now()).toISOString();
      const deadlineAt = Date.parse(dispatch.deadlineAt);
      const outcome = await this.#outcome(dispatch, { dispatch, key, signal: abort.signal, deadlineAt, ...(grant ? { grant } : {}) });
      this.deps.send(await this.deps.journal.add(reportOf(dispatch, outcome, startedAt, new Date(this.deps.now()).toISOString())));
      await this.#close(dispatch, key, outcome);
    } finally {
      this.#running.delete(key);
    }
  }

  cancel(workflowId: string, task: string, token: number): void {
    for (const [key, abort] of this.#running)
      if (key.startsWith(`${workflowId}/${task}/`)) abort.abort(new Error(`cancelled at token ${token}`));
  }

  async #outcome(dispatch: TaskDispatch, run: TaskRun): Promise<Outcome> {
    const contract = known.get(dispatch.kind);
    const handler = this.#handlers.get(dispatch.kind);
    if (!contract || !handler) return failure({ code: 'executor.kind_unknown', message: `this host agent has no ${dispatch.kind}` });
    if (dispatch.executor !== `host:${this.deps.hostId}`)
      return failure({ code: 'host.wrong_host', message: `this is ${this.deps.hostId}, not ${dispatch.executor}` });
    const input = contract.input.safeParse(dispatch.input);
    if (!input.success) return failure({ code: 'executor.input_invalid', message: issuesOf(input.error.issues) });
    const onVm = input.data as OnVm;
    return this.#turnsOf(onVm.vmId).run(handler.turn, () => this.#perform(handler, onVm, run));
  }

  async #perform(handler: Handler, input: OnVm, run: TaskRun): Promise<Outcome> {
    const { kind, task, action } = run.dispatch;
    const context = { task, action, vmId: input.vmId, hostId: this.deps.hostId };
    try {
      if (this.deps.now() > run.deadlineAt) throw new TaskFailure('task.deadline_passed', `its deadline was ${run.dispatch.deadlineAt}`);
      await this.#admit(handler, input, run);
      await this.deps.failpoint(`task:${kind}:before`, context);
      const output = await handler.run(input as never, run);
      await this.deps.failpoint(`task:${kind}:after`, context);
      return { ok: true, output };
    } catch (error) {
      const cause = causeOf(error);
      this.deps.log.warn({ kind, key: run.key, cause, ...(cause.code === 'host.fault' ? { err: error } : {}) }, 'task failed');
      return { ok: false, cause };
    }
  }

  /** Epoch and token are checked against what is on disk, and what was admitted is on disk before it is done. */
  async #admit(handler: Handler, input: OnVm, { dispatch, key }: TaskRun): Promise<void> {
    await this.deps.states.update(input.vmId, (before) => {
      handler.admit(before, input);
      const state = before ?? newVmState(input.vmId, dispatch.tenant, input.epoch);
      const { workflowId, token } = dispatch;
      const highest = state.tokens.find((t) => t.workflowId === workflowId)?.token ?? 0;
      if (token < highest && !state.open.includes(key))
        throw new TaskFailure('host.token_stale', `token ${token} is below ${highest}`, false, { highest });
      const others = state.tokens.filter((t) => t.workflowId !== workflowId).slice(1 - MAX_WORKFLOWS);
      return {
        ...state,
        tokens: [...others, { workflowId, token: Math.max(token, highest) }],
        open: state.open.includes(key) ? state.open : [...state.open.slice(-63), key],
      };
    });
  }

  /**
   * After the report is on disk: a crash before this leaves an open key, and its report answers it when it comes again. So it may wait
   * for the next write, unless the hardware changed.
   */
  async #close({ input }: TaskDispatch, key: string, outcome: Outcome): Promise<void> {
    const vmId = String(input['vmId']);
    const shape = Shape.safeParse(outcome.ok ? outcome.output : undefined);
    const closed = (s: VmState | undefined): VmState | undefined =>
      s?.open.includes(key) ? { ...s, ...shape.data, open: s.open.filter((k) => k !== key) } : undefined;
    if (shape.success) await this.deps.states.update(vmId, closed);
    else if (this.deps.states.get(vmId)?.open.includes(key)) this.deps.states.note(vmId, closed);
  }

  #turnsOf(vmId: string): Turns {
    const turns = this.#turns.get(vmId) ?? new Turns();
    this.#turns.set(vmId, turns);
    return turns;
  }
}

const failure = (cause: Cause): Outcome => ({ ok: false, cause: { ...cause, retriable: false } });
const issuesOf = (issues: readonly { path: PropertyKey[]; message: string }[]): string =>
  issues
    .map((i) => `${i.path.join('.')}: ${i.message}`)
    .join('; ')
    .slice(0, 2000);

const reportOf = (d: TaskDispatch, outcome: Outcome, startedAt: string, endedAt: string): TaskReport => ({
  workflowId: d.workflowId,
  task: d.task,
  action: d.action,
  attempt: d.attempt,
  token: d.token,
  executor: d.executor,
  outcome,
  startedAt,
  endedAt,
});
