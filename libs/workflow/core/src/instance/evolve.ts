import { unreachable } from '@chrysalis/kernel';
import type { WorkflowEvent } from '@chrysalis/contracts';
import { refused, started } from './begin.ts';
import type { Draft } from './draft.ts';
import { changed } from '../changes/apply-change.ts';
import { expanded, itemSettled, joinedOutput } from './fan.ts';
import { pop, push } from '../structures/heap.ts';
import { awardsOf, bidReceived, offered } from '../bids/offer.ts';
import { CANCELLED, hedgeAfter, SUPERSEDED } from './retry.ts';
import { recause } from './recount.ts';
import { dropReady, noneReady, pushReady, without } from './ready.ts';
import {
  type Attempt,
  type Instance,
  isInstance,
  isOpen,
  sooner,
  type TaskState,
  type TimerEntry,
  type WorkflowInstance,
} from './state.ts';
import { isStale } from './stale.ts';
import { beginUndo, undoSettled } from './undo.ts';
import { get, set } from '../structures/vector.ts';

type Data<T extends string> = Extract<WorkflowEvent, { type: T }>['data'];

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
      return beginUndo(draft, event.data);
    case 'chrysalis.workflow.task.compensated.v1':
      return compensated(draft, event.data);
    case 'chrysalis.workflow.compensation.failed.v1':
      return compensationFailed(draft, event.data);
    case 'chrysalis.workflow.task.expanded.v1':
      return expanded(draft, event.data);
    case 'chrysalis.workflow.task.offered.v1':
      return putOnOffer(draft, event.data);
    case 'chrysalis.workflow.bid.received.v1':
      return bidReceived(draft, indexOf(draft, event.data.task), event.data);
    case 'chrysalis.workflow.heartbeat.recorded.v1':
      return heard(draft, event.data);
    case 'chrysalis.workflow.instance.changed.v1':
      return changed(draft, event.data.change, event.data.at);
    case 'chrysalis.workflow.cancel.requested.v1':
      draft.cancelReason = event.data.reason;
      draft.cause ??= { code: CANCELLED, message: event.data.reason };
      draft.paused = false;
      return;
    case 'chrysalis.workflow.instance.ended.v1':
      return ended(draft, event.data);
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

/** The task is no longer where it waited: among the ready ones, on offer, or for its next attempt. */
const leave = (draft: Draft, index: number, task: TaskState, decisive: boolean): void => {
  if (task.phase === 'retrying' || task.phase === 'offered' || task.phase === 'compensation-retrying') {
    draft.retrying--;
    if (decisive) draft.decisiveRetrying--;
  } else if (task.phase === 'ready') dropReady(draft, index);
  else if (task.phase !== 'dispatched') draft.undoReady = without(draft.undoReady, index);
};

const putOnOffer = (draft: Draft, data: Data<'chrysalis.workflow.task.offered.v1'>): void => {
  const index = indexOf(draft, data.task);
  const decisive = isDecisive(draft, index);
  leave(draft, index, get(draft.tasks, index), decisive);
  offered(draft, index, data);
  draft.retrying++;
  if (decisive) draft.decisiveRetrying++;
};

const dispatched = (draft: Draft, data: Data<'chrysalis.workflow.task.dispatched.v1'>): void => {
  const index = indexOf(draft, data.task);
  const { offer: _, ...task } = get(draft.tasks, index);
  const { action, attempt, token, executor, at, deadlineAt, beginBy, heartbeatMs, hedge } = data;
  const decisive = action === 'run' && isDecisive(draft, index);
  leave(draft, index, task, decisive);
  const given: Attempt = {
    action,
    attempt,
    token,
    executor,
    dispatchedAt: at,
    deadlineAt,
    ...(beginBy === undefined ? {} : { beginBy }),
    ...(heartbeatMs === undefined ? {} : { heartbeatMs }),
    ...(hedge ? { hedge } : {}),
  };
  const phase = action === 'run' ? 'dispatched' : 'compensating';
  draft.tasks = set(draft.tasks, index, { ...task, phase, attempts: [...task.attempts, given] });
  draft.open++;
  if (decisive) draft.decisiveOpen++;
  draft.token = token;
  if (beginBy !== undefined) draft.awards = { ...draft.awards, [executor]: awardsOf(draft.awards, executor) + 1 };
  plantTimers(draft, index, given);
};

const plantTimers = (draft: Draft, index: number, given: Attempt): void => {
  const { token, action, hedge } = given;
  const plant = (at: number, kind: TimerEntry['kind']): void => {
    draft.timers = push(draft.timers, { at, kind, index, token }, sooner);
  };
  const at = Date.parse(given.dispatchedAt);
  plant(Date.parse(given.deadlineAt), 'deadline');
  if (given.beginBy !== undefined) plant(Date.parse(given.beginBy), 'begin');
  if (given.heartbeatMs !== undefined) plant(at + given.heartbeatMs, 'heartbeat');
  const wait = action === 'run' && !hedge ? hedgeAfter(draft.graph.nodes[index]!.definition, draft.usualMs) : undefined;
  if (wait !== undefined) plant(at + wait, 'hedge');
};

const heard = (draft: Draft, data: Data<'chrysalis.workflow.heartbeat.recorded.v1'>): void => {
  const index = indexOf(draft, data.task);
  const task = get(draft.tasks, index);
  const { token } = data;
  const at = Date.parse(data.at);
  const attempts = task.attempts.map((a) => (a.token === token ? { ...a, heardAt: at } : a));
  draft.tasks = set(draft.tasks, index, { ...task, attempts });
  const { heartbeatMs } = attempts.find((a) => a.token === token) ?? {};
  if (heartbeatMs !== undefined) draft.timers = push(draft.timers, { at: at + heartbeatMs, kind: 'heartbeat', index, token }, sooner);
};

const skipped = (draft: Draft, data: Data<'chrysalis.workflow.task.skipped.v1'>): void => {
  const index = indexOf(draft, data.task);
  draft.tasks = set(draft.tasks, index, { ...get(draft.tasks, index), phase: 'skipped', reason: data.reason });
  dropReady(draft, index);
  draft.unfinished--;
  release(draft, index);
};

const succeeded = (draft: Draft, data: Data<'chrysalis.workflow.task.succeeded.v1'>): void => {
  const index = indexOf(draft, data.task);
  const task = get(draft.tasks, index);
  const done = { ok: true, at: data.endedAt, startedAt: data.startedAt, endedAt: data.endedAt };
  const attempts = settle(task, 'run', data.attempt, done).map((a) => (isOpen(a) ? { ...a, settled: superseded(data.endedAt) } : a));
  const output = task.fan ? joinedOutput(draft, task.fan) : data.output;
  draft.tasks = set(draft.tasks, index, { ...task, phase: 'succeeded', attempts, output });
  draft.open -= task.attempts.filter(isOpen).length;
  if (task.fan) dropReady(draft, index);
  draft.unfinished--;
  if (isDecisive(draft, index)) commit(draft);
  if (draft.status === 'compensating') undoSettled(draft, index);
  else release(draft, index);
};

/** The other execution of a hedge was faster; what this one says is not heard any more. */
const superseded = (at: string): NonNullable<Attempt['settled']> => ({
  ok: false,
  at,
  cause: { code: SUPERSEDED, message: 'another execution of it was faster', retriable: false },
});

/** Past this point a wish to cancel has come too late: it is no cause of anything any more. What failed meanwhile is. */
const commit = (draft: Draft): void => {
  draft.decisiveOpen--;
  draft.committed = true;
  if (draft.cause?.code === CANCELLED) recause(draft);
};

/** A task has ended well: what waited for it alone may go, and so may the next item beside it. */
const release = (draft: Draft, index: number): void => {
  const node = draft.graph.nodes[index]!;
  for (let i = node.dependants.length - 1; i >= 0; i--) {
    const next = node.dependants[i]!;
    const task = get(draft.tasks, next);
    const waitingFor = task.waitingFor - 1;
    const ready = waitingFor === 0 && (task.phase === 'waiting' || task.phase === 'expanded');
    draft.tasks = set(draft.tasks, next, { ...task, waitingFor, phase: ready ? 'ready' : task.phase });
    if (ready) pushReady(draft, next);
  }
  itemSettled(draft, node);
};

const failed = (draft: Draft, data: Data<'chrysalis.workflow.task.failed.v1'>): void => {
  const index = indexOf(draft, data.task);
  const { offer: _, ...task } = get(draft.tasks, index);
  const { cause, final, retryAt } = data;
  const attempts = settle(task, 'run', data.attempt, { ok: false, cause, ...(data.at ? { at: data.at } : {}) });
  const decisive = isDecisive(draft, index);
  if (task.phase === 'dispatched') {
    draft.open--;
    if (decisive) draft.decisiveOpen--;
  } else leave(draft, index, task, decisive);
  if (attempts.some(isOpen)) return void (draft.tasks = set(draft.tasks, index, { ...task, attempts, cause })); // its hedge goes on
  draft.tasks = set(draft.tasks, index, { ...task, phase: final ? 'failed' : 'retrying', attempts, cause });
  if (!final) return wait(draft, index, attempts, retryAt, decisive);
  draft.failures++;
  draft.tasks = set(draft.tasks, index, { ...get(draft.tasks, index), failure: draft.failures });
  if (!draft.cause) {
    draft.cause = cause;
    draft.causedBy = data.task;
  }
  if (draft.status === 'compensating') undoSettled(draft, index);
  else itemSettled(draft, draft.graph.nodes[index]!);
};

const compensated = (draft: Draft, data: Data<'chrysalis.workflow.task.compensated.v1'>): void => {
  const index = indexOf(draft, data.task);
  const task = get(draft.tasks, index);
  const attempts = settle(task, 'compensate', data.attempt, { ok: true, ...(data.at ? { at: data.at } : {}) });
  draft.open--;
  draft.tasks = set(draft.tasks, index, { ...task, phase: data.left ? 'compensating' : 'compensated', attempts });
  if (data.left) draft.undoReady = { head: index, tail: draft.undoReady };
  else undoSettled(draft, index);
};

const compensationFailed = (draft: Draft, data: Data<'chrysalis.workflow.compensation.failed.v1'>): void => {
  const index = indexOf(draft, data.task);
  const task = get(draft.tasks, index);
  const { cause, final, retryAt } = data;
  const attempts = settle(task, 'compensate', data.attempt, { ok: false, cause, ...(data.at ? { at: data.at } : {}) });
  if (task.attempts.some(isOpen)) draft.open--;
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

const settle = (
  task: TaskState,
  action: Attempt['action'],
  attempt: number,
  settled: NonNullable<Attempt['settled']>,
): readonly Attempt[] => task.attempts.map((a) => (a.action === action && a.attempt === attempt && isOpen(a) ? { ...a, settled } : a));

const ended = (draft: Draft, data: Data<'chrysalis.workflow.instance.ended.v1'>): void => {
  const { state, cause, missing, failed: broken, output, at } = data;
  draft.status = state;
  const optional = { ...(cause ? { cause } : {}), ...(missing ? { missing } : {}), ...(broken ? { failed: broken } : {}) };
  draft.end = { state, output, at, ...optional };
  draft.ready = noneReady;
  draft.undoReady = draft.timers = undefined;
};

const withoutStale = ({ timers, tasks }: Draft): Instance['timers'] => {
  let heap = timers;
  while (heap && isStale(heap.least, get(tasks, heap.least.index))) heap = pop(heap, sooner);
  return heap;
};
