import { describe, expect, test } from '@jest/globals';
import type { TaskDefinition, WorkflowDefinition } from '@chrysalis/contracts';
import fc from 'fast-check';
import { analyse, type Measured, type Stats } from './analysis.ts';
import { compile } from './graph.ts';

const task = (name: string, after: string[] = [], more: Partial<TaskDefinition> = {}): TaskDefinition => ({
  name,
  kind: `t.${name}`,
  summary: name,
  input: {},
  after,
  deadlineMs: 1_000,
  route: { mode: 'group', group: 'provisioning' },
  ...more,
});
const definition = (tasks: TaskDefinition[]): WorkflowDefinition => ({
  name: 'w',
  version: 1,
  summary: '',
  params: { list: { type: 'array', required: false } },
  tasks,
  deadlineMs: 60_000,
});
const took = (ms: number): Stats => ({ count: 10, p50: ms, p95: ms * 2 });
const measured = (tasks: Record<string, number>, kinds: Record<string, number> = {}): Measured => ({
  tasks: new Map(Object.entries(tasks).map(([k, v]) => [k, took(v)])),
  kinds: new Map(Object.entries(kinds).map(([k, v]) => [k, took(v)])),
});
const of = (tasks: TaskDefinition[], known: Measured) => analyse(compile(definition(tasks)).graph, known);

describe('the analysis of a workflow', () => {
  const diamond = [task('a'), task('left', ['a']), task('right', ['a']), task('join', ['left', 'right'])];

  test('what runs in parallel, the longest chain, and what has time', () => {
    const found = of(diamond, measured({ a: 10, left: 50, right: 20, join: 5 }));
    expect(found).toMatchObject({
      levels: [['a'], ['left', 'right'], ['join']],
      width: 2,
      criticalPath: { tasks: ['a', 'left', 'join'], ms: 65 },
      expectedMs: 65,
      p95Ms: 130,
      workMs: 85,
      unmeasured: [],
    });
    expect(found.tasks.map((t) => [t.name, t.startMs, t.slackMs, t.critical])).toEqual([
      ['a', 0, 0, true],
      ['left', 10, 0, true],
      ['right', 10, 30, false],
      ['join', 60, 0, true],
    ]);
  });

  test('by the task, else by its kind, else it counts as nothing and is named; by deadlines where nothing was ever measured', () => {
    const found = of(diamond, measured({ a: 10 }, { 't.left': 50 }));
    expect(found.tasks.map((t) => t.by)).toEqual(['task', 'kind', 'unknown', 'unknown']);
    expect(found).toMatchObject({ unmeasured: ['right', 'join'], expectedMs: 60 });
    expect(of(diamond, measured({}))).toMatchObject({ expectedMs: 3_000, unmeasured: ['a', 'left', 'right', 'join'] });
  });

  test('a forEach is as long as its rounds and as expensive as its items, so that the dearest chain need not be the longest', () => {
    const tasks = [
      task('each', [], { forEach: { items: '${params.list}', concurrency: 10 } }),
      task('long'),
      task('end', ['each', 'long']),
    ];
    const found = of(tasks, measured({ each: 40, 'each.*': 4, long: 60, end: 1 }));
    expect(found.criticalPath).toEqual({ tasks: ['long', 'end'], ms: 61 });
    expect(found.tasks.find((t) => t.name === 'each')).toMatchObject({ expectedMs: 40, measured: { p50: 4 } });
  });

  test('slack is true: so much longer a task may take, and no more, without the whole taking longer', () => {
    const graphs = fc.array(fc.tuple(fc.integer({ min: 0, max: 100 }), fc.array(fc.nat(), { maxLength: 3 })), {
      minLength: 1,
      maxLength: 12,
    });
    fc.assert(
      fc.property(graphs, (list) => {
        const tasks = list.map(([, after], i) => task(`t${i}`, i === 0 ? [] : [...new Set(after.map((n) => `t${n % i}`))]));
        const ms = Object.fromEntries(list.map(([w], i) => [`t${i}`, w]));
        const found = of(tasks, measured(ms));
        expect(found.criticalPath.tasks.reduce((sum, t) => sum + ms[t]!, 0)).toBe(found.expectedMs);
        for (const { name, slackMs } of found.tasks) {
          expect(of(tasks, measured({ ...ms, [name]: ms[name]! + slackMs })).expectedMs).toBe(found.expectedMs);
          expect(of(tasks, measured({ ...ms, [name]: ms[name]! + slackMs + 1 })).expectedMs).toBe(found.expectedMs + 1);
        }
      }),
      { numRuns: 200 },
    );
  });
});
