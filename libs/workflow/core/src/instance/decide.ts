import type { Cause, TaskHeartbeat, TaskReport, WorkflowEvent, WorkflowRequest } from '@chrysalis/contracts';
import { accept, canonicalJson, type Decider, type Decision, reject, unreachable } from '@chrysalis/kernel';
import { abandon, advance } from './advance.ts';
import { refusal } from '../changes/change.ts';
import { faultsText, REQUEST_INVALID, type WorkflowCommand, type WorkflowRejection } from './commands.ts';
import { evolve } from './evolve.ts';
import { MAX_BIDS } from '../bids/offer.ts';
import { isLargerThan, MAX_OUTPUT } from './output-size.ts';
import { CANCELLED, DEADLINE_PASSED, HEARTBEAT_MISSED, uncounted } from './retry.ts';
import { cancelQueued, expireQueued } from '../queue/queued.ts';
import { Run } from './run.ts';
import { byToken, initial, type Attempt, type Instance, isInstance, isOpen, type WorkflowInstance } from './state.ts';
import { iso } from './timers.ts';
import { effectOf } from '../changes/change-effect.ts';
import { validateRequest } from '../definition/validate.ts';
import { get } from '../structures/vector.ts';

type Answer = Decision<WorkflowEvent, WorkflowRejection>;

/** What happens next in a workflow instance. Pure: the same command on the same state gives the same events. */
export const decide = (command: WorkflowCommand, state: WorkflowInstance): Answer => {
  if (command.type === 'start') return start(command.request, command.tenant, command.at, state);
  return isInstance(state) ? ofInstance(command, state) : ofOther(command, state);
};

type Later = Exclude<WorkflowCommand, { type: 'start' }>;
const ofInstance = (command: Later, state: Instance): Answer => {
  switch (command.type) {
    case 'report':
      return report(command.report, command.at, state);
    case 'tick':
      return finish(new Run(state, command.at));
    case 'cancel':
      return cancel(command.reason, command.compensate ?? true, command.at, state);
    case 'undo':
      return undo(command.reason, command.at, state);
    case 'bid':
      return bid(command, state);
    case 'heartbeat':
      return heartbeat(command.heartbeat, command.at, state);
    case 'change':
      return change(command, state);
    default:
      return unreachable(command);
  }
};

/** Of one that waits in the queue, was refused, or is not there. */
const ofOther = (command: Later, state: Exclude<WorkflowInstance, Instance>): Answer => {
  const { type, at } = command;
  if (type === 'tick') return state.status === 'queued' ? expireQueued(state, at) : accept();
  if (type !== 'cancel' && type !== 'change') return reject({ code: 'workflow.unknown' });
  if (state.status !== 'queued') return reject({ code: state.status === 'none' ? 'workflow.unknown' : 'workflow.ended' });
  return type === 'cancel' ? cancelQueued(state, command.reason, at) : reject({ code: 'workflow.not_started' });
};

export const workflowDecider: Decider<WorkflowCommand, WorkflowInstance, WorkflowEvent, Answer> = { initial, decide, evolve };

export const finish = (run: Run): Answer => {
  advance(run);
  return accept(...run.events);
};

const start = (request: WorkflowRequest, tenant: string, at: string, state: WorkflowInstance): Answer => {
  if (state.status !== 'none' && state.status !== 'queued')
    return isInstance(state) && !sameRequest(state, request) ? reject({ code: 'workflow.id_reused' }) : accept();
  const { workflowId, subject, definition } = request;
  const faults = validateRequest(request);
  if (faults.length > 0) {
    const cause: Cause = { code: REQUEST_INVALID, message: faultsText(faults), retriable: false, detail: { faults: faults.slice(0, 100) } };
    const data = { workflowId, subject, name: definition.name, state: 'undone', cause, output: {}, at } as const;
    return accept({ type: 'chrysalis.workflow.instance.ended.v1', data });
  }
  const { parent, usualMs } = request;
  const own = Date.parse(at) + definition.deadlineMs;
  const deadlineAt = iso(parent ? Math.min(own, Date.parse(parent.deadlineAt)) : own);
  const optional = { ...(parent ? { parent } : {}), ...(usualMs ? { usualMs } : {}) };
  const data = { workflowId, definition, params: request.params, subject, ...optional, at, deadlineAt, tenant };
  return finish(Run.started({ type: 'chrysalis.workflow.instance.started.v1', data }, at));
};

const sameRequest = (state: Instance, request: WorkflowRequest): boolean =>
  canonicalJson([state.definition, state.params]) === canonicalJson([request.definition, request.params]);

const report = (r: TaskReport, at: string, state: Instance): Answer => {
  const index = state.graph.index.get(r.task);
  if (index === undefined) return reject({ code: 'workflow.task_unknown', task: r.task });
  const given = get(state.tasks, index).attempts.find((a) => a.action === r.action && a.attempt === r.attempt);
  if (given?.token === r.token && given.settled && !overheard.has(given.settled.cause?.code ?? ''))
    return reject({ code: 'workflow.report_duplicate', task: r.task, attempt: r.attempt });
  if (!given || given.token !== r.token || given.settled || state.end)
    return reject({ code: 'workflow.report_stale', task: r.task, attempt: r.attempt, token: r.token, latestToken: state.token });
  const run = new Run(state, at);
  outcomeOf(run, index, given, r);
  return finish(run);
};

/** What a report says of the attempt that it is about. */
export const outcomeOf = (run: Run, index: number, given: Attempt, r: TaskReport): void => {
  const cause = r.outcome.ok ? tooLarge(r.outcome.output) : r.outcome.cause;
  if (cause) run.fail(index, { ...given, executor: r.executor }, cause);
  else if (r.outcome.ok) run.succeed(r, r.outcome.output);
};

/** Executions that were ended without a word of their executor. */
const overheard: ReadonlySet<string> = new Set([DEADLINE_PASSED, HEARTBEAT_MISSED, ...uncounted]);

/** An output is kept for as long as the instance, and given to others: a task that brings more has failed. */
const tooLarge = (output: Record<string, unknown>): Cause | undefined => {
  if (!isLargerThan(output, MAX_OUTPUT)) return undefined;
  return { code: 'workflow.output_too_large', message: `the output is larger than ${MAX_OUTPUT} characters of JSON`, retriable: false };
};

const cancel = (reason: string, compensate: boolean, at: string, state: Instance): Answer => {
  if (state.end) return reject({ code: 'workflow.ended' });
  const run = new Run(state, at);
  const ask = (): void =>
    run.emit({
      type: 'chrysalis.workflow.cancel.requested.v1',
      data: { workflowId: state.workflowId, reason, ...(compensate ? {} : { compensate }), at },
    });
  if (!compensate) {
    ask();
    abandon(run);
    return accept(...run.events);
  }
  if (state.committed) return reject({ code: 'workflow.past_point_of_no_return' });
  if (state.cancelReason !== undefined) return accept();
  if (state.cause && state.cause.code !== CANCELLED && !state.paused) return reject({ code: 'workflow.ending' });
  ask();
  return finish(run);
};

const undo = (reason: string, at: string, state: Instance): Answer => {
  if (state.status === 'compensating' || (state.end && state.status === 'undone')) return accept();
  if (!mayBeUndone(state)) return reject({ code: state.end ? 'workflow.ended' : 'workflow.ending' });
  if (state.committed || mayBePast(state)) return reject({ code: 'workflow.past_point_of_no_return' });
  const run = new Run(state, at);
  const cause: Cause = state.cause ?? { code: 'workflow.undo_asked', message: reason, retriable: false };
  run.emit({ type: 'chrysalis.workflow.compensation.started.v1', data: { workflowId: state.workflowId, cause, at } });
  return finish(run);
};

/** One that succeeded; one whose undo failed or was given up, which goes on with what is left. */
const mayBeUndone = ({ status, end }: Instance): boolean =>
  status === 'succeeded' || (end !== undefined && (status === 'failed' || (status === 'cancelled' && (end.missing?.length ?? 0) > 0)));

/** Given up while a point of no return was under way: nobody heard whether it was passed, so nothing may be taken from under it. */
const mayBePast = ({ graph, tasks }: Instance): boolean =>
  graph.nodes.some(({ definition }, i) => {
    const { phase, attempts } = get(tasks, i);
    return definition.pointOfNoReturn === true && (phase === 'retrying' || attempts.some(isOpen));
  });

const bid = ({ bid: b, rank, at }: Extract<WorkflowCommand, { type: 'bid' }>, state: Instance): Answer => {
  const { task, offer, executor } = b;
  const index = state.graph.index.get(task);
  if (index === undefined) return reject({ code: 'workflow.task_unknown', task });
  const { phase, offer: open } = get(state.tasks, index);
  if (state.end || phase !== 'offered' || open?.number !== offer || Date.parse(at) >= Date.parse(open.closesAt))
    return reject({ code: 'workflow.offer_closed', task, offer });
  if (open.bids.some((known) => known.executor === executor)) return reject({ code: 'workflow.bid_duplicate', task, offer, executor });
  if (open.bids.length >= MAX_BIDS) return reject({ code: 'workflow.bids_full', task, offer });
  return accept({ type: 'chrysalis.workflow.bid.received.v1', data: { ...b, rank } });
};

/** Kept at most three times in the span that it is asked for: an executor that talks too much fills no log. */
const heartbeat = (h: TaskHeartbeat, at: string, state: Instance): Answer => {
  const { workflowId, task, action, attempt, token } = h;
  const index = state.graph.index.get(task);
  if (index === undefined) return reject({ code: 'workflow.task_unknown', task });
  const given = byToken(get(state.tasks, index), token);
  if (!given || given.settled || given.action !== action || given.attempt !== attempt || state.end)
    return reject({ code: 'workflow.report_stale', task, attempt, token, latestToken: state.token });
  const since = Date.parse(at) - (given.heardAt ?? Number.NEGATIVE_INFINITY);
  const first = given.heardAt === undefined && given.beginBy !== undefined;
  const due = given.heartbeatMs !== undefined && since >= given.heartbeatMs / 3;
  if (!first && !due) return accept();
  return accept({ type: 'chrysalis.workflow.heartbeat.recorded.v1', data: { workflowId, task, action, attempt, token, at } });
};

const change = ({ change: wanted, actor, reason, at }: Extract<WorkflowCommand, { type: 'change' }>, state: Instance): Answer => {
  const refused = refusal(state, wanted, Date.parse(at));
  if (refused) return reject(refused);
  const already = (wanted.type === 'pause' && state.paused) || (wanted.type === 'resume' && !state.paused);
  if (already) return accept();
  const run = new Run(state, at);
  const data = { workflowId: state.workflowId, change: wanted, actor, reason, at };
  const effect = effectOf(state, { type: 'chrysalis.workflow.instance.changed.v1', data });
  run.emit({ type: 'chrysalis.workflow.instance.changed.v1', data: { ...data, effect } });
  return finish(run);
};
