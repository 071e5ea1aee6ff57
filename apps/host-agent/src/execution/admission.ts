import { Sha256, Topology, type Outcome, type TaskDispatch } from '@chrysalis/contracts';
import { z } from 'zod';
import { newVmState, type VmState } from '../durable/vm-state.ts';
import type { VmStates } from '../durable/vm-states.ts';
import type { Handler, OnVm, TaskRun } from './handler.ts';
import { TaskFailure } from './task-failure.ts';

type Deps = {
  readonly states: VmStates;
  /** The same for what is not a VM, by its lane. */
  readonly lanes: VmStates;
  /** Of the control plane: what an award's time to begin is counted by. */
  readonly controlNow: () => number;
};
type Place = { readonly states: VmStates; readonly id: string; readonly epoch: number };

const Shape = z.object({ topology: Topology, topologyHash: Sha256 });
const MAX_WORKFLOWS = 64;

/** Who may do something to a VM, and what is on disk of it before it is done. */
export class Admission {
  constructor(private readonly deps: Deps) {}

  /**
   * In the order of coming: the token is checked against what is on disk, and is on disk before anything is done. One that waits for its
   * turn is not stale because a later one, which may run beside it, was registered meanwhile; one that came late is.
   */
  register(handler: Handler, input: OnVm, { dispatch, key }: TaskRun): Promise<unknown> {
    const { states, id, epoch } = this.#place(handler, input);
    return states.update(id, (before) => {
      if (!before) handler.admit(before, input); // of a VM that was never here nothing is kept for a task that is refused
      const { left: _, ...state } = before ?? newVmState(id, dispatch.tenant, epoch);
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
   * Its turn has come: whose the VM is, and at which epoch, may have been changed by what ran before. That an award was begun is on disk
   * before it is done, so that it may be gone on with after a crash, and one that only waited may not.
   */
  async begin(handler: Handler, input: OnVm, { dispatch, key }: TaskRun): Promise<void> {
    const { states, id } = this.#place(handler, input);
    handler.admit(states.get(id), input);
    if (dispatch.beginBy === undefined || states.get(id)?.begun?.includes(key)) return;
    await states.update(id, (s) => {
      this.#stillAwarded(dispatch);
      return { ...s!, begun: [...(s!.begun ?? []).slice(-63), key] };
    });
  }

  /**
   * After the report is on disk: a crash before this leaves an open key, and its report answers it when it comes again. So it may wait
   * for the next write, unless the hardware changed.
   */
  async close(handler: Handler, input: OnVm, key: string, outcome: Outcome): Promise<void> {
    const { states, id } = this.#place(handler, input);
    const shape = Shape.safeParse(outcome.ok ? outcome.output : undefined);
    const closed = (s: VmState | undefined): VmState | undefined =>
      s?.open.includes(key) ? { ...without(s, key), ...shape.data } : undefined;
    if (shape.success) await states.update(id, closed);
    else if (states.get(id)?.open.includes(key)) states.note(id, closed);
  }

  #place(handler: Handler, input: OnVm): Place {
    const lane = handler.lane?.(input as never);
    if (lane !== undefined) return { states: this.deps.lanes, id: lane, epoch: 1 };
    return { states: this.deps.states, id: input.vmId, epoch: input.epoch };
  }

  /** An award that was not begun in time is somebody else's now, also where this process slept all the while. */
  #stillAwarded({ beginBy }: TaskDispatch): void {
    if (beginBy !== undefined && this.deps.controlNow() > Date.parse(beginBy))
      throw new TaskFailure('task.award_lapsed', `it was to begin by ${beginBy}`);
  }
}

const without = (s: VmState, key: string): VmState => ({
  ...s,
  open: s.open.filter((k) => k !== key),
  ...(s.begun ? { begun: s.begun.filter((k) => k !== key) } : {}),
});
