import type { Cause, Code, TaskDispatch } from '@chrysalis/contracts';
import { MAX_ITEMS, MAX_NODES } from './fan.ts';
import { award } from '../bids/offer.ts';
import type { Run } from './run.ts';
import { conditionScope, executorOf, inputOf, itemsOf, labelsOf, nearOf, undoInputOf } from './scope.ts';
import { iso } from './timers.ts';

/** What becomes of a task that may go: skipped, made into items, put together from them, offered, or given to its executor. */
export const give = (run: Run, index: number): void => {
  const node = run.node(index);
  const task = run.task(index);
  if (task.fan) return join(run, index);
  const { condition, items, item } = node;
  // A condition that asks about the item is each item's own; any other one has been asked before there were items.
  const asked = condition !== undefined && task.phase === 'ready' && (items ? !condition.perItem : !item || condition.perItem);
  if (asked) {
    const verdict = condition.evaluate(conditionScope(run.state, node));
    if (!verdict.ok) return run.failBefore(index, { code: 'workflow.condition_failed', message: verdict.message, retriable: false });
    if (!verdict.value) return skip(run, index, condition.source);
  }
  if (items) return expand(run, index);
  return node.definition.route.mode === 'bid' ? offer(run, index) : dispatch(run, index);
};

const skip = (run: Run, index: number, source: string): void =>
  run.emit({
    type: 'chrysalis.workflow.task.skipped.v1',
    data: { workflowId: run.state.workflowId, task: run.name(index), reason: source.slice(0, 1024), at: run.at },
  });

const expand = (run: Run, index: number): void => {
  const items = itemsOf(run.state, run.node(index));
  const task = run.name(index);
  const refuse = (code: Code, message: string): void => run.failBefore(index, { code, message, retriable: false });
  if (!Array.isArray(items)) return refuse('workflow.items_not_array', `the items of ${task} are ${typeof items}, not an array`);
  if (items.length > MAX_ITEMS) return refuse('workflow.items_too_many', `${task} has ${items.length} items; ${MAX_ITEMS} are the most`);
  const most = MAX_NODES - run.state.graph.nodes.length;
  if (items.length > most)
    return refuse('workflow.items_too_many', `${task} has ${items.length} items; there is room for ${most} more tasks`);
  const data = { workflowId: run.state.workflowId, task, count: items.length, at: run.at };
  run.emit({ type: 'chrysalis.workflow.task.expanded.v1', data });
};

/** All items have ended well. Their outputs are in the log already: the event says how many. */
const join = (run: Run, index: number): void => {
  const { count, at: startedAt } = run.task(index).fan!;
  const about = { workflowId: run.state.workflowId, task: run.name(index), attempt: 1, executor: 'workflow' };
  run.emit({ type: 'chrysalis.workflow.task.succeeded.v1', data: { ...about, output: { count }, startedAt, endedAt: run.at } });
};

const offer = (run: Run, index: number): void => {
  const { state, now, at } = run;
  const node = run.node(index);
  const { kind, route } = node.definition;
  if (route.mode !== 'bid') throw new Error(`${run.name(index)} is not routed by bid`);
  const { workflowId, tenant } = state;
  const about = { workflowId, task: run.name(index), action: 'run', attempt: nextAttempt(run, index, 'run'), kind, tenant } as const;
  const closesAt = iso(now + route.windowMs);
  const data = { ...about, offer: state.offers + 1, group: route.group, labels: labelsOf(state, node), closesAt, at };
  run.emit({ type: 'chrysalis.workflow.task.offered.v1', data });
};

/** The window is over: the best bid has it; without one it is offered again, given to whom the route names, or has failed. */
export const closeOffer = (run: Run, index: number): void => {
  const node = run.node(index);
  const { route } = node.definition;
  if (route.mode !== 'bid') return dispatch(run, index);
  const { bids, round } = run.task(index).offer!;
  const winner = award(bids, route.award, nearOf(run.state, node), run.state.awards);
  if (winner) return dispatch(run, index, { executor: winner.executor, beginBy: iso(run.now + route.beginWithinMs) });
  if (round < route.offers) return offer(run, index);
  if (route.otherwise !== undefined) return dispatch(run, index);
  const message = `${run.name(index)} was offered ${round} times, and nobody bid`;
  run.failBefore(index, { code: 'workflow.no_bid', message, retriable: false });
};

/** A second execution beside the one that takes so long. */
export const hedge = (run: Run, index: number): void => dispatch(run, index, { hedge: true });

type Special = { readonly executor?: string; readonly beginBy?: string; readonly hedge?: true };

const dispatch = (run: Run, index: number, { executor: winner, ...special }: Special = {}): void => {
  const { state, now, at } = run;
  const node = run.node(index);
  const { kind, route, deadlineMs, heartbeatMs } = node.definition;
  const executor = winner ?? executorOf(state, node, 'run');
  if (executor === undefined) return run.failBefore(index, unresolved(run.name(index)));
  handOver(run, {
    task: run.name(index),
    action: 'run',
    attempt: nextAttempt(run, index, 'run'),
    kind,
    executor,
    group: route.group,
    input: inputOf(state, node),
    deadlineAt: iso(Math.min(now + deadlineMs, state.deadlineAt)),
    ...(heartbeatMs === undefined ? {} : { heartbeatMs }),
    ...special,
    at,
  });
};

export const dispatchUndo = (run: Run, index: number): void => {
  const { state, now, at } = run;
  const node = run.node(index);
  const { kind, route, deadlineMs } = node.definition.compensation!;
  const task = run.name(index);
  const attempt = nextAttempt(run, index, 'compensate');
  const executor = executorOf(state, node, 'compensate');
  if (executor === undefined) {
    const data = { workflowId: state.workflowId, task, attempt, cause: unresolved(task), final: true, at };
    return run.emit({ type: 'chrysalis.workflow.compensation.failed.v1', data });
  }
  const input = undoInputOf(state, node);
  handOver(run, { task, action: 'compensate', attempt, kind, executor, group: route.group, input, deadlineAt: iso(now + deadlineMs), at });
};

const handOver = (run: Run, given: Omit<TaskDispatch, 'workflowId' | 'token' | 'tenant'> & { readonly at: string }): void => {
  const { workflowId, tenant } = run.state;
  run.emit({ type: 'chrysalis.workflow.task.dispatched.v1', data: { workflowId, ...given, token: nextToken(run), tenant } });
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
