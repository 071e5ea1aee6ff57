import type { WorkflowEvent } from '@chrysalis/contracts';
import { accept, type Decider, type Decision } from '@chrysalis/kernel';
import type { WorkflowCommand, WorkflowRejection } from './commands.ts';
import { decide, finish, outcomeOf, workflowDecider } from './decide.ts';
import { Run } from './run.ts';
import { isInstance, isOpen, type WorkflowInstance } from './state.ts';
import { get } from '../structures/vector.ts';

/**
 * A safeguard of the engine that a test may take away, to see whether anybody notices:
 * - `compensation`: nothing is given to an executor to be undone, and it counts as undone;
 * - `fencing`: a report is believed whatever its attempt and token, if the task is under way;
 * - `timers`: nobody looks when a timer is due.
 */
export type Failpoint = 'compensation' | 'fencing' | 'timers';

type Answer = Decision<WorkflowEvent, WorkflowRejection>;

/** The engine without one safeguard. Pure like the engine itself, which pays nothing for it: its own functions know no failpoint. */
export const workflowDeciderWithout = (point: Failpoint): Decider<WorkflowCommand, WorkflowInstance, WorkflowEvent, Answer> => ({
  ...workflowDecider,
  decide: without[point],
});

const without: Record<Failpoint, typeof decide> = {
  timers: (command, state) => (command.type === 'tick' ? accept() : decide(command, state)),
  fencing: (command, state) => {
    if (command.type !== 'report' || !isInstance(state)) return decide(command, state);
    const { report, at } = command;
    const index = state.graph.index.get(report.task);
    const given = index === undefined ? undefined : get(state.tasks, index).attempts.find((a) => a.action === report.action && isOpen(a));
    if (index === undefined || !given) return decide(command, state);
    const run = new Run(state, at);
    outcomeOf(run, index, given, { ...report, attempt: given.attempt });
    return finish(run);
  },
  compensation: (command, state) => {
    const decision = decide(command, state);
    if (!decision.ok || !decision.events.some((e) => e.type === 'chrysalis.workflow.compensation.started.v1')) return decision;
    const begun = decision.events.findIndex((e) => e.type === 'chrysalis.workflow.compensation.started.v1');
    const before = decision.events.slice(0, begun + 1);
    const after = before.reduce<WorkflowInstance>(workflowDecider.evolve, state);
    return isInstance(after) ? accept(...before, endOf(after, command.at)) : decision;
  },
};

const endOf = (state: Extract<WorkflowInstance, { graph: unknown }>, at: string): WorkflowEvent => {
  const { workflowId, subject, definition, cause, cancelReason } = state;
  const data = {
    workflowId,
    subject,
    name: definition.name,
    state: cancelReason === undefined ? 'undone' : 'cancelled',
    output: {},
    at,
  } as const;
  return { type: 'chrysalis.workflow.instance.ended.v1', data: { ...data, ...(cause ? { cause } : {}) } };
};
