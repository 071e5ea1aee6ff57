import { describe, expect, test } from '@jest/globals';
import type { TaskReport, WorkflowEvent } from '@chrysalis/contracts';
import {
  isInstance,
  toArray,
  workflowDecider,
  workflowDeciderWithout,
  type Attempt,
  type WorkflowInstance,
} from '@chrysalis/workflow-core';
import { everyStepFails, sampleWorkflows, type HarnessOptions } from './workflow-harness.ts';

// A harness that cannot fail proves nothing. Each mutant is an engine with one safeguard gone; the harness has to say which.

const { decide, evolve } = workflowDecider;
type Decide = typeof decide;
/** What the harness says of a sample that runs on this engine. */
const said = (name: string, engine: Partial<typeof workflowDecider>, more: Partial<HarnessOptions> = {}): string => {
  const sample = sampleWorkflows.find((s) => s.name === name)!;
  const report = everyStepFails({ ...sample, seeds: 0, ...more, engine: { ...workflowDecider, ...engine } });
  return [...new Set(report.violations.map((v) => v.message))].join('\n');
};
const attemptsOf = (state: WorkflowInstance, task: string): readonly Attempt[] => {
  if (!isInstance(state)) return [];
  const index = state.graph.index.get(task);
  return index === undefined ? [] : toArray(state.tasks)[index]!.attempts;
};
/** Changes what comes of a decision. */
const andThen =
  (by: (events: readonly WorkflowEvent[]) => WorkflowEvent[]): Decide =>
  (command, state) => {
    const decision = decide(command, state);
    return decision.ok ? { ok: true, events: by(decision.events) } : decision;
  };
/** A definition that is not the one the harness judges by. */
const otherwise =
  (edit: (task: Parameters<Decide>[0] & { type: 'start' }) => Parameters<Decide>[0]): Decide =>
  (command, state) =>
    decide(command.type === 'start' ? edit(command) : command, state);

describe('the harness fails with a failpoint in the engine', () => {
  test('compensation is off: effects stay, and the end does not name them', () => {
    expect(said('move', workflowDeciderWithout('compensation'))).toMatch(/it undid , and had to undo/);
  });
  test('fencing is off: a report of an attempt that is over is believed', () => {
    expect(said('move', workflowDeciderWithout('fencing'))).toMatch(/believed whose attempt is over/);
  });
  test('timers are off: whoever is silent is waited for, for ever', () => {
    expect(said('move', workflowDeciderWithout('timers'))).toMatch(/never ended/);
  });
});

describe('the harness fails when', () => {
  test('tasks lose their compensation on the way', () => {
    const forget = otherwise((c) => {
      const tasks = c.request.definition.tasks.map(({ compensation: _, ...t }) => t);
      return { ...c, request: { ...c.request, definition: { ...c.request.definition, tasks } } };
    });
    expect(said('fan', { decide: forget })).toMatch(/effects are left/);
  });

  test('only the executor of the last attempt undoes', () => {
    const latestAlone: Decide = (command, state) => {
      const decision = decide(command, state);
      const [first] = decision.ok ? decision.events : [];
      if (first?.type !== 'chrysalis.workflow.task.compensated.v1' || !first.data.left) return decision;
      const { left: _, ...data } = first.data;
      const rest = decide({ type: 'tick', at: command.at }, evolve(state, { ...first, data }));
      return rest.ok ? { ok: true, events: [{ ...first, data }, ...rest.events] } : rest;
    };
    expect(said('bids', { decide: latestAlone })).toMatch(/effects are left: (build|copy|place)/);
  });

  test('executors admit every token', () => {
    expect(said('move', {}, { admission: false })).toMatch(/effects are left/);
  });

  test('the concurrency of a forEach is ignored', () => {
    const rush = otherwise((c) => {
      const tasks = c.request.definition.tasks.map((t) => (t.forEach ? { ...t, forEach: { ...t.forEach, concurrency: 10_000 } } : t));
      return { ...c, request: { ...c.request, definition: { ...c.request.definition, tasks } } };
    });
    expect(said('fan', { decide: rush }, { singleFaults: false })).toMatch(/beside 2 others, and 2 are the most/);
  });

  test('an award that has lapsed is believed', () => {
    const lenient: Decide = (command, state) => {
      if (command.type !== 'report') return decide(command, state);
      const { report } = command;
      const lapsed = attemptsOf(state, report.task).find((a) => a.token === report.token)?.settled?.cause?.code === 'workflow.award_lapsed';
      const now = attemptsOf(state, report.task).findLast((a) => a.action === report.action && !a.settled);
      return decide(lapsed && now ? { ...command, report: { ...report, attempt: now.attempt, token: now.token } } : command, state);
    };
    expect(said('bids', { decide: lenient }, { seeds: 40 })).toMatch(/believed whose attempt is over/);
  });

  test('the best bid does not win', () => {
    const dear = andThen((events) =>
      events.map((e) =>
        e.type === 'chrysalis.workflow.task.dispatched.v1' && e.data.beginBy ? { ...e, data: { ...e.data, executor: 'host:h0' } } : e,
      ),
    );
    expect(said('bids', { decide: dear }, { singleFaults: false })).toMatch(/went to host:h0, who had not bid/);
  });

  test('a pause is ignored', () => {
    const restless: typeof evolve = (state, event) =>
      event.type === 'chrysalis.workflow.instance.changed.v1' && event.data.change.type === 'pause' ? state : evolve(state, event);
    expect(said('all', { evolve: restless }, { seeds: 60, singleFaults: false })).toMatch(/while it was paused/);
  });

  test('the loser of a hedge is believed', () => {
    const both: Decide = (command, state) => {
      const decision = decide(command, state);
      if (decision.ok || command.type !== 'report') return decision;
      const { report } = command;
      const lost = attemptsOf(state, report.task).find((a) => a.token === report.token)?.settled?.cause?.code === 'workflow.superseded';
      return lost ? { ok: true, events: [succeededAgain(report)] } : decision;
    };
    expect(said('watched', { decide: both })).toMatch(/succeeded twice|believed whose attempt is over/);
  });

  test('heartbeats of attempts that are over are taken', () => {
    const all: Decide = (command, state) => {
      const decision = decide(command, state);
      if (decision.ok || command.type !== 'heartbeat') return decision;
      const { executor: _, ...data } = command.heartbeat;
      return { ok: true, events: [{ type: 'chrysalis.workflow.heartbeat.recorded.v1', data }] };
    };
    expect(said('watched', { decide: all })).toMatch(/a heartbeat was believed whose attempt is over/);
  });

  test('the cause is not the first', () => {
    const vague = andThen((events) =>
      events.map((e) =>
        e.type === 'chrysalis.workflow.instance.ended.v1' && e.data.cause
          ? { ...e, data: { ...e.data, cause: { code: 'something.failed', message: '' } } }
          : e,
      ),
    );
    expect(said('move', { decide: vague })).toMatch(/the cause is something.failed/);
  });

  test('the live state is not that of the log', () => {
    let times = 0;
    const forgetful: typeof evolve = (state, event) =>
      event.type.includes('succeeded') && ++times % 7 === 0 ? state : evolve(state, event);
    expect(said('move', { evolve: forgetful })).not.toBe('');
  });
});

const succeededAgain = ({ workflowId, task, attempt, executor, startedAt, endedAt }: TaskReport): WorkflowEvent => ({
  type: 'chrysalis.workflow.task.succeeded.v1',
  data: { workflowId, task, attempt, executor, output: {}, startedAt, endedAt },
});
