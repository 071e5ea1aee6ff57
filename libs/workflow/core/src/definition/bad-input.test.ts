import { describe, expect, it } from '@jest/globals';
import type { TaskDefinition, WorkflowDefinition } from '@chrysalis/contracts';
import { validateDefinition } from '../index.ts';
import { isLargerThan, MAX_OUTPUT } from '../instance/output-size.ts';
import { bidRoute, definition, iso, Story, task, undo } from '../test-kit/story.ts';

describe('reports', () => {
  const two = () => new Story([task('a', { retry: { attempts: 2, backoffMs: 0 } }), task('b', { after: ['a'] })]);
  it.each<[string, (s: Story) => unknown, string]>([
    ['of a task that is not running', (s) => s.report('a', true, 1, { task: 'b' }), 'workflow.report_stale'],
    ['of a task that there is not', (s) => s.report('a', true, 1, { task: 'zzz' }), 'workflow.task_unknown'],
    ['a second one', (s) => (s.report('a', true, 1), s.report('a', true, 2)), 'workflow.report_duplicate'],
    ['a second one that says otherwise', (s) => (s.report('a', true, 1), s.report('a', 'x.y', 2)), 'workflow.report_duplicate'],
    ['with a token that was never given', (s) => s.report('a', true, 1, { token: 1 }), 'workflow.report_stale'],
    ['of an attempt to come', (s) => s.report('a', true, 1, { attempt: 2 }), 'workflow.report_stale'],
    ['of an undo that nobody asked for', (s) => s.report('a', true, 1, { action: 'compensate' }), 'workflow.report_stale'],
    [
      'after the deadline was noted',
      (s) => (s.tick(1000), s.report('a', true, 1001, { attempt: 1, token: s.task('a').attempts[0]!.token })),
      'workflow.report_stale',
    ],
    ['after the end', (s) => (s.cancel(1, false), s.report('a', true, 2)), 'workflow.report_stale'],
  ])('%s changes nothing', (_, act, code) => {
    const s = two();
    expect(act(s)).toBe(code);
  });
  it('of an unknown workflow', () => {
    const s = two();
    const { action, attempt, token } = s.given('a');
    s.state = { status: 'none' };
    const report = {
      workflowId: 'w1',
      task: 'a',
      action,
      attempt,
      token,
      executor: 'x',
      outcome: { ok: true as const, output: {} },
      startedAt: iso(1),
      endedAt: iso(1),
    };
    expect(s.when({ type: 'report', report, at: iso(1) })).toBe('workflow.unknown');
  });
});

describe('an output', () => {
  it('larger than its limit fails the task, and is kept nowhere', () => {
    const s = new Story([task('a', undo())]);
    expect(s.report('a', true, 1, { output: { x: 'x'.repeat(MAX_OUTPUT) } })).toEqual([
      'task.failed a',
      'compensation.started a',
      'compensate a 1',
    ]);
    s.report('a', true, 2);
    expect(s.end).toMatchObject({ state: 'undone', cause: { code: 'workflow.output_too_large', retriable: false } });
    expect(JSON.stringify(s.events).length).toBeLessThan(10_000);
  });
  it.each<[string, unknown, boolean]>([
    ['a text', 'x'.repeat(MAX_OUTPUT - 2), false],
    ['a longer text', 'x'.repeat(MAX_OUTPUT - 1), true],
    ['many numbers', Array.from({ length: MAX_OUTPUT / 4 }, () => 1), true],
    ['many keys', Object.fromEntries(Array.from({ length: 40_000 }, (_, i) => [`k${i}`, 1])), true],
    ['few', { a: [1, { b: null }] }, false],
  ])('%s is measured', (_, value, larger) => {
    expect(isLargerThan(value, MAX_OUTPUT)).toBe(larger);
  });
  it('however deep, costs no stack', () => {
    let deep: unknown = 1;
    for (let i = 0; i < 100_000; i++) deep = [deep];
    expect(isLargerThan(deep, MAX_OUTPUT)).toBe(true);
  });
});

describe('a definition with a fault', () => {
  const forEach = { items: '${params.list}', concurrency: 1 };
  const hedge = { afterMs: 10 };
  const one = (more: Partial<TaskDefinition>, d: Partial<WorkflowDefinition> = {}): WorkflowDefinition =>
    definition([task('first'), task('a', more)], {
      params: { list: { type: 'array' }, text: { type: 'string' }, n: { type: 'number' } },
      ...d,
    });
  it.each<[string, WorkflowDefinition, string, string]>([
    ['a path into a text', one({ input: { x: '${params.text.y}' } }), 'workflow.type_mismatch', 'tasks[1].input.x'],
    [
      'an executor that is a number',
      one({ route: { mode: 'direct', group: 'agent-gateway', executor: '${params.n}' } }),
      'workflow.type_mismatch',
      'tasks[1].route.executor',
    ],
    [
      'items that are a text',
      one({ forEach: { ...forEach, items: '${params.text}' } }),
      'workflow.type_mismatch',
      'tasks[1].forEach.items',
    ],
    [
      'items that are no reference',
      one({ forEach: { ...forEach, items: 'abc' } }),
      'workflow.for_each_malformed',
      'tasks[1].forEach.items',
    ],
    ['items of an item', one({ forEach: { ...forEach, items: '${item.x}' } }), 'workflow.for_each_malformed', 'tasks[1].forEach.items'],
    ['a point of no return for each', one({ forEach, pointOfNoReturn: true }), 'workflow.for_each_malformed', 'tasks[1]'],
    ['an item where there is none', one({ input: { x: '${item}' } }), 'workflow.item_outside_for_each', 'tasks[1].input.x'],
    ['a condition on an item where there is none', one({ when: 'index > 1' }), 'workflow.item_outside_for_each', 'tasks[1].when'],
    ['an executor where there is none', one({ input: { x: '${executor}' } }), 'workflow.reference_malformed', 'tasks[1].input.x'],
    ['never true', one({ when: '1 == 2' }), 'workflow.task_unreachable', 'tasks[1].when'],
    ['an undo by bid', one(undo({ route: bidRoute })), 'workflow.route_refused', 'tasks[1].compensation.route'],
    ['affinity to nobody', one({ route: { ...bidRoute, award: 'affinity' } }), 'workflow.route_refused', 'tasks[1].route.near'],
    ['a hedge of what is not idempotent', one({ hedge }), 'workflow.hedge_refused', 'tasks[1].hedge'],
    ['a hedge by bid', one({ hedge, idempotent: true, route: bidRoute }), 'workflow.hedge_refused', 'tasks[1].hedge'],
    [
      'a hedge of a point of no return',
      one({ hedge, idempotent: true, pointOfNoReturn: true }),
      'workflow.hedge_refused',
      'tasks[1].hedge',
    ],
    ['a hedge at no time', one({ hedge: {}, idempotent: true }), 'workflow.hedge_refused', 'tasks[1].hedge'],
    ['no undo where one is required', one({ ...undo() }, { undoable: true }), 'workflow.compensation_missing', 'tasks[0]'],
  ])('%s is told with its place', (_, d, code, place) => {
    expect(validateDefinition(d).map((f) => [f.code, f.place])).toEqual([[code, place]]);
  });
  it('is none where what has no undo only looks, or comes after a point of no return', () => {
    const d = definition([task('look', { effect: 'none' }), task('go', { pointOfNoReturn: true }), task('then', { after: ['go'] })], {
      undoable: true,
    });
    expect(validateDefinition(d)).toEqual([]);
  });
});
