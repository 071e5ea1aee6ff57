import type { Cause } from '@chrysalis/contracts';
import { closeOffer, dispatchUndo, give, hedge } from './dispatch.ts';
import { AWARD_LAPSED, CANCELLED, DEADLINE_PASSED, HEARTBEAT_MISSED } from './retry.ts';
import { firstReady } from './ready.ts';
import type { Run } from './run.ts';
import { outputOf } from './scope.ts';
import { byToken, type Attempt, type TimerEntry } from './state.ts';
import { firstActing, iso } from './timers.ts';
import { mayHaveEffect } from './undo.ts';
import { toArray } from '../structures/vector.ts';

/** Goes on until nothing more follows from what is known: due timers, tasks that are ready, undoing, the end. */
export const advance = (run: Run): void => {
  for (let before = -1; before !== run.events.length && !run.state.end;) {
    before = run.events.length;
    fireDue(run);
    if (run.state.status === 'compensating') undo(run);
    else goForward(run);
  }
};

const fireDue = (run: Run): void => {
  const next = (): TimerEntry | undefined => firstActing(run.state, run.expired);
  for (let timer = next(); timer && timer.at <= run.now; timer = next()) fire(run, timer);
};

const fire = (run: Run, timer: TimerEntry): void => {
  const { index, kind, token } = timer;
  switch (kind) {
    case 'offer':
      return closeOffer(run, index);
    case 'hedge':
      return hedge(run, index);
    case 'retry':
      return run.state.status === 'compensating' ? dispatchUndo(run, index) : give(run, index);
    case 'deadline':
    case 'begin':
    case 'heartbeat': {
      const attempt = byToken(run.task(index), token)!;
      return run.fail(index, attempt, silence(run, timer, attempt));
    }
  }
};

/** Nothing was heard in time. */
const silence = (run: Run, { kind, index, at }: TimerEntry, given: Attempt): Cause => {
  const { executor, deadlineAt } = given;
  const name = run.name(index);
  if (kind === 'begin')
    return {
      code: AWARD_LAPSED,
      message: `${executor} won ${name} and did not begin by ${iso(at)}`,
      retriable: true,
      detail: { executor },
    };
  if (kind === 'heartbeat')
    return {
      code: HEARTBEAT_MISSED,
      message: `${executor} was not heard of since ${name} began, or last`,
      retriable: true,
      detail: { executor },
    };
  const ofInstance = given.action === 'run' && at === run.state.deadlineAt;
  const what = ofInstance ? `the workflow passed its deadline while ${name} ran` : `${name} passed its deadline`;
  const detail = { of: ofInstance ? 'workflow' : 'task', deadlineAt, executor };
  return { code: DEADLINE_PASSED, message: `${what}, ${deadlineAt}`, retriable: true, detail };
};

const goForward = (run: Run): void => {
  giveOut(run);
  const { unfinished, committed, open, retrying, decisiveOpen, decisiveRetrying, paused } = run.state;
  if (unfinished === 0) return end(run, 'succeeded');
  if (paused && !run.expired) return; // an operator has the say: a failure may still be repaired
  if (committed) return open === 0 && (retrying === 0 || run.expired) ? stop(run) : undefined;
  if (run.forward) return;
  // While a point of no return is under way nobody knows whether there is still something to undo: first its outcome.
  if (decisiveOpen === 0 && (decisiveRetrying === 0 || run.expired)) beginUndo(run);
};

const giveOut = (run: Run): void => {
  while (run.forward && !run.state.paused) {
    const index = firstReady(run.state);
    if (index === undefined) return;
    give(run, index);
  }
};

const stop = (run: Run): void => end(run, 'stopped', run.state.cause ?? instanceDeadline(run));

const instanceDeadline = (run: Run): Cause => {
  const deadlineAt = iso(run.state.deadlineAt);
  return {
    code: DEADLINE_PASSED,
    message: `the workflow passed its deadline, ${deadlineAt}`,
    retriable: false,
    detail: { of: 'workflow', deadlineAt },
  };
};

const beginUndo = (run: Run): void => {
  const { workflowId, cause = instanceDeadline(run), causedBy } = run.state;
  const data = { workflowId, cause, ...(causedBy === undefined ? {} : { task: causedBy }), at: run.at };
  run.emit({ type: 'chrysalis.workflow.compensation.started.v1', data });
};

const undo = (run: Run): void => {
  while (run.state.undoReady && roomToUndo(run, run.state.undoReady.head)) dispatchUndo(run, run.state.undoReady.head);
  const { open, retrying, compensationFailed, cause, cancelReason } = run.state;
  if (open > 0 || retrying > 0) return;
  const cancelled = cancelReason !== undefined && cause?.code === CANCELLED;
  end(run, compensationFailed ? 'failed' : cancelled ? 'cancelled' : 'undone', cause);
};

/** The items of a forEach are undone as many at a time as they were done. */
const roomToUndo = (run: Run, index: number): boolean => {
  const { item } = run.node(index);
  return !item || run.state.open < run.node(item.of).definition.forEach!.concurrency;
};

/** An operator gives up: nothing more is given out or undone, and what is left is named. Late reports change nothing. */
export const abandon = (run: Run): void => {
  const { committed, status, cause } = run.state;
  end(run, committed ? 'stopped' : status === 'compensating' ? 'failed' : 'cancelled', cause);
};

const end = (run: Run, state: 'succeeded' | 'stopped' | 'failed' | 'cancelled' | 'undone', cause?: Cause): void => {
  const { workflowId, subject, definition } = run.state;
  const missing = missingIn(run, state);
  const failed = failedIn(run, state);
  const output = state === 'succeeded' ? outputOf(run.state) : {};
  const optional = { ...(cause ? { cause } : {}), ...(missing ? { missing } : {}), ...(failed.length > 0 ? { failed } : {}) };
  const data = { workflowId, subject, name: definition.name, state, ...optional, output, at: run.at };
  run.emit({ type: 'chrysalis.workflow.instance.ended.v1', data });
};

/** Of those that are cancelled, only where nothing was to be undone. */
const missingIn = (run: Run, state: string): string[] | undefined => {
  if (state === 'stopped') return notDone(run);
  const left = state === 'failed' || (state === 'cancelled' && run.state.status === 'running') ? notUndone(run) : [];
  return state === 'failed' || left.length > 0 ? left : undefined;
};

const MAX_FAILED = 100;
/** What holds the instance where it stands: where a repair begins. */
const failedIn = (run: Run, state: string): string[] => {
  const phase = state === 'stopped' ? 'failed' : state === 'failed' ? 'compensation-failed' : undefined;
  if (phase === undefined) return [];
  const tasks = toArray(run.state.tasks);
  const of = run.state.graph.order.filter((i) => tasks[i]!.phase === phase);
  return of.slice(0, MAX_FAILED).map((i) => run.name(i));
};

const notDone = (run: Run): string[] => {
  const tasks = toArray(run.state.tasks);
  const { order, nodes } = run.state.graph;
  // An item that never began is one more of what its forEach lacks; one that did has a name of its own.
  const counts = (i: number): boolean => !nodes[i]!.item || tasks[i]!.attempts.length > 0;
  return order.filter((i) => counts(i) && tasks[i]!.phase !== 'succeeded' && tasks[i]!.phase !== 'skipped').map((i) => run.name(i));
};

/** Whose effect may still be there: undoing it failed for good, was held back by one that did, or was not begun. */
const notUndone = (run: Run): string[] => {
  const tasks = toArray(run.state.tasks);
  const left = (i: number): boolean => {
    if (run.node(i).definition.compensation === undefined || !mayHaveEffect(tasks[i]!)) return false;
    return tasks[i]!.phase !== 'compensated';
  };
  return run.state.graph.order.filter(left).map((i) => run.name(i));
};
