import { describe, expect, test } from '@jest/globals';
import type { TaskDefinition, WorkflowDefinition } from '@chrysalis/contracts';
import { workflowDecider } from '@chrysalis/workflow-core';
import { everyStepFails, expectEveryStepFails, type HarnessReport } from './workflow-harness.ts';

const route = { mode: 'group', group: 'provisioning' } as const;
const task = (name: string, after: string[] = [], more: Partial<TaskDefinition> & { undo?: boolean } = {}): TaskDefinition => {
  const { undo = true, ...rest } = more;
  const compensation = { kind: 'test.undo', input: { of: name }, deadlineMs: 1_000, retry: { attempts: 2, backoffMs: 50 }, route };
  return { name, kind: 'test.do', summary: name, input: {}, after, deadlineMs: 1_000, route, ...(undo ? { compensation } : {}), ...rest };
};
const definition = (tasks: TaskDefinition[]): WorkflowDefinition => ({
  name: 'sample',
  version: 1,
  summary: 'a sample',
  params: { host: { type: 'string' } },
  tasks,
  deadlineMs: 60_000,
});

/** As a move is: a lock, two branches, a point of no return, and forward only from there. */
const moveLike = definition([
  task('lock'),
  task('hold', ['lock'], { retry: { attempts: 3, backoffMs: 100 }, input: { host: '${params.host}' } }),
  task('prepare-guest', ['lock'], { undo: false }),
  task('unplug', ['prepare-guest']),
  task('target', [], { input: { at: '${tasks.hold.output.address}' } }),
  task('optional', ['lock'], { when: 'params.host == "nowhere"' }),
  task('transfer', ['unplug'], {
    input: { to: '${tasks.target.output.port}' },
    pointOfNoReturn: true,
    retry: { attempts: 2, backoffMs: 10 },
  }),
  task('plug', ['transfer', 'optional'], { undo: false, retry: { attempts: 2, backoffMs: 10 } }),
  task('release', ['plug'], { undo: false }),
  task('beside', ['lock']),
]);
const executors = { 'test.do': (input: Readonly<Record<string, unknown>>) => ({ address: 'a', port: 1, got: input }) };
const sample = { definition: moveLike, params: { host: 'h2' }, executors, unreachable: ['optional'] };

test('a workflow like a move survives every failure there is a name for', () => {
  const report = expectEveryStepFails(sample);
  expect(report.scenarios).toBeGreaterThan(150);
  expect(Object.keys(report.finalStates).sort()).toEqual(['cancelled', 'failed', 'stopped', 'succeeded', 'undone']);
});

test('the same seeds give the same report', () => {
  expect(everyStepFails({ ...sample, seeds: 5 })).toEqual(everyStepFails({ ...sample, seeds: 5 }));
});

describe('the harness can fail', () => {
  const { decide, evolve } = workflowDecider;
  const said = (report: HarnessReport): string => [...new Set(report.violations.map((v) => v.message.replace(/\d+/g, '')))].join('\n');

  test('when nothing is undone', () => {
    const forget: typeof decide = (command, state) => {
      if (command.type !== 'start') return decide(command, state);
      const tasks = command.request.definition.tasks.map(({ compensation: _, ...t }) => t);
      return decide({ ...command, request: { ...command.request, definition: { ...command.request.definition, tasks } } }, state);
    };
    expect(said(everyStepFails({ ...sample, seeds: 0, engine: { ...workflowDecider, decide: forget } }))).toMatch(/effects are left/);
  });

  test('when old reports are believed', () => {
    const believe: typeof decide = (command, state) => {
      if (command.type !== 'report' || state.status === 'none' || state.status === 'refused') return decide(command, state);
      const { report } = command;
      const given = state.tasks && everyAttempt(state, report.task).findLast((a) => a.action === report.action && !a.settled);
      return decide(given ? { ...command, report: { ...report, attempt: given.attempt, token: given.token } } : command, state);
    };
    expect(said(everyStepFails({ ...sample, seeds: 0, engine: { ...workflowDecider, decide: believe } }))).toMatch(
      /believed whose attempt is over/,
    );
  });

  test('when executors do not fence', () => {
    expect(said(everyStepFails({ ...sample, seeds: 0, fencing: false }))).toMatch(/effects are left/);
  });

  test('when timers are off', () => {
    const deaf: typeof decide = (command, state) => (command.type === 'tick' ? { ok: true, events: [] } : decide(command, state));
    expect(said(everyStepFails({ ...sample, seeds: 0, engine: { ...workflowDecider, decide: deaf } }))).toMatch(/never ended/);
  });

  test('when the cause is not the first', () => {
    const vague: typeof decide = (command, state) => {
      const decision = decide(command, state);
      if (!decision.ok) return decision;
      const events = decision.events.map((e) =>
        e.type === 'chrysalis.workflow.instance.ended.v1' && e.data.cause
          ? { ...e, data: { ...e.data, cause: { code: 'something.failed', message: '' } } }
          : e,
      );
      return { ok: true, events };
    };
    expect(said(everyStepFails({ ...sample, seeds: 0, engine: { ...workflowDecider, decide: vague } }))).toMatch(
      /the cause is something.failed/,
    );
  });

  test('when the live state is not that of the log', () => {
    let times = 0;
    const forgetful: typeof evolve = (state, event) =>
      event.type.includes('succeeded') && ++times % 7 === 0 ? state : evolve(state, event);
    expect(everyStepFails({ ...sample, seeds: 0, engine: { ...workflowDecider, evolve: forgetful } }).violations.length).toBeGreaterThan(0);
  });
});

const everyAttempt = (state: unknown, name: string) => {
  const { graph, tasks } = state as { graph: { index: Map<string, number> }; tasks: { root: unknown[]; shift: number } };
  const all = tasks.shift === 0 ? tasks.root : tasks.root.flat();
  return (all[graph.index.get(name)!] as { attempts: { action: string; attempt: number; token: number; settled?: unknown }[] }).attempts;
};
