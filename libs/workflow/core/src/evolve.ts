import { unreachable } from '@chrysalis/kernel';
import type { WorkflowEvent } from '@chrysalis/contracts';
import { refused, started } from './begin.ts';
import { pop, push } from './heap.ts';
import { CANCELLED } from './policy.ts';
import {
  type Attempt,
  type Instance,
  isInstance,
  lastAttempt,
  type List,
  sooner,
  type TaskState,
  type TimerEntry,
  type WorkflowInstance,
} from './state.ts';
import { beginUndo, undoSettled } from './undo.ts';
import { get, set } from './vector.ts';

type Data<T extends string> = Extract<WorkflowEvent, { type: T }>['data'];
/** Fields are replaced on a copy of the instance's own record; nothing reachable from an earlier state is changed. */
export type Draft = { -readonly [K in keyof Instance]: Instance[K] };

/** O(1) per event but for what the event itself touches: a success visits the task's dependants, the start of an undo visits all once. */
export const evolve = (state: WorkflowInstance, event: WorkflowEvent): WorkflowInstance => {
  if (event.type === 'chrysalis.workflow.instance.started.v1') return started(event.data);
  if (event.type === 'chrysalis.workflow.instance.queued.v1') return { status: 'queued', ...event.data };
  if (!isInstance(state)) return event.type === 'chrysalis.workflow.instance.ended.v1' ? refused(event.data) : state;
  const draft: Draft = { ...state };
  change(draft, event);
  draft.timers = withoutStale(draft);
  return draft;
};

type Later = Exclude<WorkflowEvent, { type: 'chrysalis.workflow.instance.started.v1' | 'chrysalis.workflow.instance.queued.v1' }>;
const change = (draft: Draft, event: Later): void => {
  switch (event.type) {
    case 'chrysalis.workflow.task.dispatched.v1':
      return dispatched(draft, event.data);
    case 'chrysalis.workflow.task.skipped.v1':
      return skipped(draft, event.data);
    case 'chrysalis.workflow.task.succeeded.v1':
      return succeeded(draft, event.data);
    case 'chrysalis.workflow.task.failed.v1':
      return failed(draft, event.data);
    case 'chrysalis.workflow.compensation.started.v1':
      return beginUndo(draft, event.data.cause, event.data.task);
    case 'chrysalis.workflow.task.compensated.v1':
      return compensated(draft, event.data);
    case 'chrysalis.workflow.compensation.failed.v1':
      return compensationFailed(draft, event.data);
    case 'chrysalis.workflow.cancel.requested.v1':
      draft.cancelReason = event.data.reason;
      draft.cause ??= { code: CANCELLED, message: event.data.reason };
      return;
    case 'chrysalis.workflow.instance.ended.v1':
      return ended(draft, event.data);
    case 'chrysalis.workflow.task.expanded.v1':
    case 'chrysalis.workflow.task.offered.v1':
    case 'chrysalis.workflow.bid.received.v1':
    case 'chrysalis.workflow.heartbeat.recorded.v1':
    case 'chrysalis.workflow.instance.changed.v1':
      return;
    default:
      return unreachable(event);
  }
};

const indexOf = (draft: Draft, name: string): number => {
  const index = draft.graph.index.get(name);
  if (index === undefined) throw new Error(`an event names the task ${name}, which the definition does not have`);
  return index;
};
const isDecisive = (draft: Draft, index: number): boolean => draft.graph.nodes[index]!.definition.pointOfNoReturn === true;
const without = (list: List, index: number): List =>
  list === undefined ? undefined : list.head === index ? list.tail : { head: list.head, tail: without(list.tail, index) };

const dispatched = (draft: Draft, data: Data<'chrysalis.workflow.task.dispatched.v1'>): void => {
  const index = indexOf(draft, data.task);
  const task = get(draft.tasks, index);
  const { action, attempt, token, executor, at, deadlineAt } = data;
  const decisive = action === 'run' && isDecisive(draft, index);
  if (task.phase === 'retrying' || task.phase === 'compensation-retrying') {
    draft.retrying--;
    if (decisive) draft.decisiveRetrying--;
  } else if (action === 'run') draft.ready = without(draft.ready, index);
  else draft.undoReady = without(draft.undoReady, index);
  const given: Attempt = { action, attempt, token, executor, dispatchedAt: at, deadlineAt };
  const phase = action === 'run' ? 'dispatched' : 'compensating';
  draft.tasks = set(draft.tasks, index, { ...task, phase, attempts: [...task.attempts, given] });
  draft.open++;
  if (decisive) draft.decisiveOpen++;
  draft.token = token;
  draft.timers = push(draft.timers, { at: Date.parse(deadlineAt), kind: 'deadline', index, token }, sooner);
};

const skipped = (draft: Draft, data: Data<'chrysalis.workflow.task.skipped.v1'>): void => {
  const index = indexOf(draft, data.task);
  draft.tasks = set(draft.tasks, index, { ...get(draft.tasks, index), phase: 'skipped', reason: data.reason });
  draft.ready = without(draft.ready, index);
  draft.unfinished--;
  release(draft, index);
};

const succeeded = (draft: Draft, data: Data<'chrysalis.workflow.task.succeeded.v1'>): void => {
  const index = indexOf(draft, data.task);
  const task = get(draft.tasks, index);
  const attempts = settle(task, { ok: true, at: data.endedAt, startedAt: data.startedAt, endedAt: data.endedAt });
  draft.tasks = set(draft.tasks, index, { ...task, phase: 'succeeded', attempts, output: data.output });
  draft.open--;
  draft.unfinished--;
  if (isDecisive(draft, index)) commit(draft);
  if (draft.status === 'compensating') undoSettled(draft, index);
  else release(draft, index);
};

/** Past this point a wish to cancel has come too late: it is no cause of anything any more. */
const commit = (draft: Draft): void => {
  draft.decisiveOpen--;
  draft.committed = true;
  if (draft.cause?.code === CANCELLED) delete draft.cause;
};

const release = (draft: Draft, index: number): void => {
  const { dependants } = draft.graph.nodes[index]!;
  for (let i = dependants.length - 1; i >= 0; i--) {
    const next = dependants[i]!;
    const task = get(draft.tasks, next);
    const waitingFor = task.waitingFor - 1;
    if (waitingFor === 0) draft.ready = { head: next, tail: draft.ready };
    draft.tasks = set(draft.tasks, next, { ...task, waitingFor, phase: waitingFor === 0 ? 'ready' : task.phase });
  }
};

const failed = (draft: Draft, data: Data<'chrysalis.workflow.task.failed.v1'>): void => {
  const index = indexOf(draft, data.task);
  const task = get(draft.tasks, index);
  const { cause, final, retryAt } = data;
  const attempts = settle(task, { ok: false, cause, ...(data.at ? { at: data.at } : {}) });
  const decisive = isDecisive(draft, index);
  if (task.phase === 'dispatched') {
    draft.open--;
    if (decisive) draft.decisiveOpen--;
  } else draft.ready = without(draft.ready, index);
  draft.tasks = set(draft.tasks, index, { ...task, phase: final ? 'failed' : 'retrying', attempts, cause });
  if (!final) return wait(draft, index, attempts, retryAt, decisive);
  if (!draft.cause) {
    draft.cause = cause;
    draft.causedBy = data.task;
  }
  if (draft.status === 'compensating') undoSettled(draft, index);
};

const compensated = (draft: Draft, data: Data<'chrysalis.workflow.task.compensated.v1'>): void => {
  const index = indexOf(draft, data.task);
  const task = get(draft.tasks, index);
  const attempts = settle(task, { ok: true, ...(data.at ? { at: data.at } : {}) });
  draft.tasks = set(draft.tasks, index, { ...task, phase: 'compensated', attempts });
  draft.open--;
  undoSettled(draft, index);
};

const compensationFailed = (draft: Draft, data: Data<'chrysalis.workflow.compensation.failed.v1'>): void => {
  const index = indexOf(draft, data.task);
  const task = get(draft.tasks, index);
  const { cause, final, retryAt } = data;
  const attempts = settle(task, { ok: false, cause, ...(data.at ? { at: data.at } : {}) });
  if (task.phase === 'compensating') draft.open--;
  else draft.undoReady = without(draft.undoReady, index);
  draft.tasks = set(draft.tasks, index, { ...task, phase: final ? 'compensation-failed' : 'compensation-retrying', attempts });
  if (final) draft.compensationFailed = true;
  else wait(draft, index, attempts, retryAt, false);
};

const wait = (draft: Draft, index: number, attempts: readonly Attempt[], retryAt: string | undefined, decisive: boolean): void => {
  draft.retrying++;
  if (decisive) draft.decisiveRetrying++;
  const entry: TimerEntry = { at: Date.parse(retryAt!), kind: 'retry', index, token: attempts.at(-1)!.token };
  draft.timers = push(draft.timers, entry, sooner);
};

const settle = (task: TaskState, settled: NonNullable<Attempt['settled']>): readonly Attempt[] => {
  const last = lastAttempt(task);
  return last && !last.settled ? [...task.attempts.slice(0, -1), { ...last, settled }] : task.attempts;
};

const ended = (draft: Draft, data: Data<'chrysalis.workflow.instance.ended.v1'>): void => {
  const { state, cause, missing, output, at } = data;
  draft.status = state;
  draft.end = { state, output, at, ...(cause ? { cause } : {}), ...(missing ? { missing } : {}) };
  draft.ready = draft.undoReady = draft.timers = undefined;
};

const withoutStale = ({ timers, tasks }: Draft): Instance['timers'] => {
  let heap = timers;
  while (heap && isStale(heap.least, get(tasks, heap.least.index))) heap = pop(heap, sooner);
  return heap;
};

export const isStale = (entry: TimerEntry, task: TaskState): boolean => {
  const { phase } = task;
  const live =
    entry.kind === 'deadline'
      ? phase === 'dispatched' || phase === 'compensating'
      : phase === 'retrying' || phase === 'compensation-retrying';
  return !live || lastAttempt(task)?.token !== entry.token;
};
