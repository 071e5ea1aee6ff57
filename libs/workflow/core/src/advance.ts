import type { Cause } from '@chrysalis/contracts';
import { CANCELLED, DEADLINE_PASSED } from './policy.ts';
import type { Run } from './run.ts';
import { conditionScope, executorOf, inputOf, outputOf, undoInputOf } from './scope.ts';
import { lastAttempt, type TimerEntry } from './state.ts';
import { firstActing, iso } from './timers.ts';
import { needsUndo } from './undo.ts';
import { toArray } from './vector.ts';

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
  for (let timer = next(); timer && timer.at <= run.now; timer = next()) {
    if (timer.kind === 'deadline') run.fail(timer.index, lastAttempt(run.task(timer.index))!.executor, deadlineCause(run, timer));
    else if (run.state.status === 'compensating') dispatchUndo(run, timer.index);
    else dispatch(run, timer.index);
  }
};

const deadlineCause = (run: Run, timer: TimerEntry): Cause => {
  const given = lastAttempt(run.task(timer.index))!;
  const ofInstance = given.action === 'run' && timer.at === run.state.deadlineAt;
  const what = ofInstance
    ? `the workflow passed its deadline while ${run.name(timer.index)} ran`
    : `${run.name(timer.index)} passed its deadline`;
  const detail = { of: ofInstance ? 'workflow' : 'task', deadlineAt: given.deadlineAt, executor: given.executor };
  return { code: DEADLINE_PASSED, message: `${what}, ${given.deadlineAt}`, retriable: true, detail };
};

const goForward = (run: Run): void => {
  while (run.forward && run.state.ready) give(run, run.state.ready.head);
  const { unfinished, committed, open, retrying, decisiveOpen, decisiveRetrying } = run.state;
  if (unfinished === 0) return end(run, 'succeeded');
  if (committed) return open === 0 && (retrying === 0 || run.expired) ? stop(run) : undefined;
  if (run.forward) return;
  // While a point of no return is under way nobody knows whether there is still something to undo: first its outcome.
  if (decisiveOpen === 0 && (decisiveRetrying === 0 || run.expired)) beginUndo(run);
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

const give = (run: Run, index: number): void => {
  const { condition } = run.node(index);
  const verdict = condition ? condition.evaluate(conditionScope(run.state, run.node(index))) : ({ ok: true, value: true } as const);
  if (!verdict.ok) return run.failBefore(index, { code: 'workflow.condition_failed', message: verdict.message, retriable: false });
  if (verdict.value) return dispatch(run, index);
  const data = { workflowId: run.state.workflowId, task: run.name(index), reason: condition!.source.slice(0, 1024), at: run.at };
  run.emit({ type: 'chrysalis.workflow.task.skipped.v1', data });
};

const dispatch = (run: Run, index: number): void => {
  const { state, now, at } = run;
  const { definition, executor: template } = run.node(index);
  const executor = executorOf(state, template);
  if (executor === undefined) return run.failBefore(index, unresolved(definition.name));
  const { workflowId, tenant } = state;
  const attempt = nextAttempt(run, index, 'run');
  const deadlineAt = iso(Math.min(now + definition.deadlineMs, state.deadlineAt));
  const { kind, route } = definition;
  const given = {
    task: definition.name,
    action: 'run',
    attempt,
    kind,
    executor,
    group: route.group,
    input: inputOf(state, run.node(index)),
  } as const;
  run.emit({
    type: 'chrysalis.workflow.task.dispatched.v1',
    data: { workflowId, ...given, token: nextToken(run), deadlineAt, tenant, at },
  });
};

const dispatchUndo = (run: Run, index: number): void => {
  const { state, now, at } = run;
  const node = run.node(index);
  const { kind, route, deadlineMs } = node.definition.compensation!;
  const { workflowId, tenant } = state;
  const task = node.definition.name;
  const attempt = nextAttempt(run, index, 'compensate');
  const executor = executorOf(state, node.compensation!.executor);
  if (executor === undefined) {
    const data = { workflowId, task, attempt, cause: unresolved(task), final: true, at };
    return run.emit({ type: 'chrysalis.workflow.compensation.failed.v1', data });
  }
  const given = { task, action: 'compensate', attempt, kind, executor, group: route.group, input: undoInputOf(state, node) } as const;
  const deadlineAt = iso(now + deadlineMs);
  run.emit({
    type: 'chrysalis.workflow.task.dispatched.v1',
    data: { workflowId, ...given, token: nextToken(run), deadlineAt, tenant, at },
  });
};

const nextAttempt = (run: Run, index: number, action: 'run' | 'compensate'): number =>
  run.task(index).attempts.filter((a) => a.action === action).length + 1;

/**
 * Rises with every dispatch. It starts from the clock in microseconds, so that it also rises from one workflow of a VM to the next: an
 * executor keeps one highest token for a VM, whoever sent it.
 */
const nextToken = (run: Run): number => Math.max(run.state.token + 1, run.now * 1000);

const unresolved = (task: string): Cause => ({
  code: 'workflow.executor_unresolved',
  message: `the executor of ${task} refers to something that is not there`,
  retriable: false,
});

const undo = (run: Run): void => {
  while (run.state.undoReady) dispatchUndo(run, run.state.undoReady.head);
  const { open, retrying, compensationFailed, cause, cancelReason } = run.state;
  if (open > 0 || retrying > 0) return;
  const cancelled = cancelReason !== undefined && cause?.code === CANCELLED;
  end(run, compensationFailed ? 'failed' : cancelled ? 'cancelled' : 'undone', cause);
};

const end = (run: Run, state: 'succeeded' | 'stopped' | 'failed' | 'cancelled' | 'undone', cause?: Cause): void => {
  const { workflowId, subject, definition } = run.state;
  const missing = state === 'stopped' ? notDone(run) : state === 'failed' ? notUndone(run) : undefined;
  const output = state === 'succeeded' ? outputOf(run.state) : {};
  const optional = { ...(cause ? { cause } : {}), ...(missing ? { missing } : {}) };
  const data = { workflowId, subject, name: definition.name, state, ...optional, output, at: run.at };
  run.emit({ type: 'chrysalis.workflow.instance.ended.v1', data });
};

const notDone = (run: Run): string[] => {
  const tasks = toArray(run.state.tasks);
  return run.state.graph.order.filter((i) => tasks[i]!.phase !== 'succeeded' && tasks[i]!.phase !== 'skipped').map((i) => run.name(i));
};

/** Whose effect may still be there: undoing it failed for good, or was held back by one that did. */
const notUndone = (run: Run): string[] => {
  const tasks = toArray(run.state.tasks);
  const left = (i: number): boolean => tasks[i]!.phase === 'compensation-failed' || needsUndo(run.node(i), tasks[i]!);
  return run.state.graph.order.filter(left).map((i) => run.name(i));
};
