import type { Cause, TaskReport, WorkflowEvent, WorkflowRequest } from '@chrysalis/contracts';
import { accept, canonicalJson, type Decider, type Decision, reject, unreachable } from '@chrysalis/kernel';
import { advance } from './advance.ts';
import { faultsText, REQUEST_INVALID, type WorkflowCommand, type WorkflowRejection } from './commands.ts';
import { evolve } from './evolve.ts';
import { CANCELLED } from './policy.ts';
import { cancelQueued, expireQueued } from './queued.ts';
import { Run } from './run.ts';
import { initial, type Instance, isInstance, type WorkflowInstance } from './state.ts';
import { iso } from './timers.ts';
import { validateRequest } from './validate.ts';
import { get } from './vector.ts';

type Answer = Decision<WorkflowEvent, WorkflowRejection>;

/** What happens next in a workflow instance. Pure: the same command on the same state gives the same events. */
export const decide = (command: WorkflowCommand, state: WorkflowInstance): Answer => {
  switch (command.type) {
    case 'start':
      return start(command.request, command.tenant, command.at, state);
    case 'report':
      return isInstance(state) ? report(command.report, command.at, state) : reject({ code: 'workflow.unknown' });
    case 'tick':
      if (state.status === 'queued') return expireQueued(state, command.at);
      return isInstance(state) ? finish(new Run(state, command.at)) : accept();
    case 'cancel':
      if (state.status === 'queued') return cancelQueued(state, command.reason, command.at);
      return isInstance(state)
        ? cancel(command.reason, command.at, state)
        : reject({ code: state.status === 'none' ? 'workflow.unknown' : 'workflow.ended' });
    default:
      return unreachable(command);
  }
};

export const workflowDecider: Decider<WorkflowCommand, WorkflowInstance, WorkflowEvent, Answer> = { initial, decide, evolve };

const finish = (run: Run): Answer => {
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
  const deadlineAt = iso(Date.parse(at) + definition.deadlineMs);
  const data = { workflowId, definition, params: request.params, subject, at, deadlineAt, tenant };
  return finish(Run.started({ type: 'chrysalis.workflow.instance.started.v1', data }, at));
};

const sameRequest = (state: Instance, request: WorkflowRequest): boolean =>
  canonicalJson([state.definition, state.params]) === canonicalJson([request.definition, request.params]);

const report = (r: TaskReport, at: string, state: Instance): Answer => {
  const index = state.graph.index.get(r.task);
  if (index === undefined) return reject({ code: 'workflow.task_unknown', task: r.task });
  const given = get(state.tasks, index).attempts.find((a) => a.action === r.action && a.attempt === r.attempt);
  if (given?.token === r.token && given.settled && given.settled.cause?.code !== 'workflow.deadline_passed')
    return reject({ code: 'workflow.report_duplicate', task: r.task, attempt: r.attempt });
  if (!given || given.token !== r.token || given.settled)
    return reject({ code: 'workflow.report_stale', task: r.task, attempt: r.attempt, token: r.token, latestToken: state.token });
  const run = new Run(state, at);
  if (r.outcome.ok) run.succeed(r, r.outcome.output);
  else run.fail(index, r.executor, r.outcome.cause);
  return finish(run);
};

const cancel = (reason: string, at: string, state: Instance): Answer => {
  if (state.end) return reject({ code: 'workflow.ended' });
  if (state.committed) return reject({ code: 'workflow.past_point_of_no_return' });
  if (state.cancelReason !== undefined) return accept();
  if (state.cause && state.cause.code !== CANCELLED) return reject({ code: 'workflow.ending' });
  const run = new Run(state, at);
  run.emit({ type: 'chrysalis.workflow.cancel.requested.v1', data: { workflowId: state.workflowId, reason, at } });
  return finish(run);
};
