import { describe, expect, it } from '@jest/globals';
import type { Change } from '@chrysalis/contracts';
import { MAX_OUTPUT } from '../instance/output-size.ts';
import { bidRoute, definition, iso, Story, task, undo } from '../test-kit/story.ts';

const direct = { mode: 'direct', group: 'agent-gateway', executor: 'host:h9' } as const;
const chain = () => new Story([task('a', undo()), task('b', { after: ['a'], ...undo() }), task('c', { after: ['b'] })]);
const change = (s: Story, wanted: Change, ms = 1) => s.refusal({ type: 'change', change: wanted, actor: 'op', reason: 'why', at: iso(ms) });

describe('adding, rewriting', () => {
  it('a task is added before one that has not begun', () => {
    const s = chain();
    expect(s.change({ type: 'add-task', task: task('x', { after: ['a'] }), before: ['b'] }, 1)).toEqual(['instance.changed add-task']);
    expect(s.events.at(-1)).toMatchObject({ data: { actor: 'op', reason: 'why', change: { type: 'add-task' } } });
    expect(s.report('a', true, 2)).toEqual(['task.succeeded a', 'run x 1']);
    expect(s.report('x', true, 3)).toEqual(['task.succeeded x', 'run b 1']);
  });
  it('a copy runs beside its model, and its undo takes back its own', () => {
    const s = new Story([
      task('a', undo({ input: { id: '${tasks.a.output.id}', text: '$${tasks.a.output.id}' } })),
      task('b', { after: ['a'] }),
    ]);
    expect(s.change({ type: 'duplicate-task', task: 'a', as: 'a2', route: direct }, 1)).toEqual([
      'instance.changed duplicate-task',
      'run a2 1',
    ]);
    s.report('a', true, 2, { output: { id: 1 } });
    s.report('a2', true, 3, { output: { id: 2 } });
    s.report('b', 'it.broke', 4);
    expect(s.given('a2').input).toEqual({ id: 2, text: '${tasks.a.output.id}' });
    expect(s.given('a').input).toEqual({ id: 1, text: '${tasks.a.output.id}' });
  });
  it('one that has not begun is replaced, or wired anew', () => {
    const s = chain();
    s.change({ type: 'replace-task', task: 'c', with: task('c', { after: ['a'], kind: 'test.other' }) }, 1);
    s.change({ type: 'rewire', task: 'b', input: { from: '${tasks.c.output.v}' }, after: [] }, 1);
    expect(s.report('a', true, 2)).toEqual(['task.succeeded a', 'run c 1']);
    expect(s.given('c').kind).toBe('test.other');
    expect(s.report('c', true, 3, { output: { v: 5 } })).toEqual(['task.succeeded c', 'run b 1']);
    expect(s.given('b').input).toEqual({ from: 5 });
  });
});

describe('who, how long, how many', () => {
  it('an execution under way is superseded, and begun anew where it was given', () => {
    const s = chain();
    const { token, attempt } = s.given('a');
    expect(s.change({ type: 'reassign', task: 'a', route: direct }, 1)).toEqual(['instance.changed reassign', 'run a 2']);
    expect(s.given('a').executor).toBe('host:h9');
    expect(s.report('a', true, 2, { token, attempt })).toBe('workflow.report_stale');
    expect(s.report('a', true, 3)).toEqual(['task.succeeded a', 'run b 1']);
  });
  it('a new deadline holds for the execution under way', () => {
    const s = chain();
    s.change({ type: 'set-limits', task: 'a', deadlineMs: 3000 }, 1);
    expect(s.tick(1000)).toEqual([]);
    expect(s.tick(3000)).toContain('task.failed a');
  });
  it('so does that of the workflow: nothing runs past it, sooner or later', () => {
    const [s, later] = [new Story([task('a', { deadlineMs: 8000 })]), new Story([task('a', { deadlineMs: 30_000 })])];
    s.change({ type: 'set-limits', deadlineMs: 4000 }, 1);
    expect(s.tick(4000)).toEqual(['task.failed a', 'compensation.started a', 'instance.ended undone']);
    later.change({ type: 'set-limits', deadlineMs: 20_000 }, 1);
    expect(later.tick(10_000)).toEqual([]);
    expect(later.tick(20_000)).toContain('task.failed a');
  });
});

describe('pause', () => {
  it('gives nothing out, hears what is under way, and goes on', () => {
    const s = chain();
    expect(s.change({ type: 'pause' }, 1)).toEqual(['instance.changed pause']);
    expect(s.change({ type: 'pause' }, 2)).toEqual([]);
    expect(s.report('a', true, 3)).toEqual(['task.succeeded a']);
    expect(s.change({ type: 'resume' }, 4)).toEqual(['instance.changed resume', 'run b 1']);
    expect(s.change({ type: 'resume' }, 5)).toEqual([]);
  });
  it('keeps a failure for an operator to repair', () => {
    const s = chain();
    s.change({ type: 'pause' }, 1);
    expect(s.report('a', 'it.broke', 2)).toEqual(['task.failed a']);
    expect(s.change({ type: 'retry-from', task: 'a' }, 3)).toEqual(['instance.changed retry-from']);
    expect(s.change({ type: 'resume' }, 4)).toEqual(['instance.changed resume', 'run a 2']);
    expect(s.instance.cause).toBeUndefined();
  });
  it('holds no deadline up', () => {
    const s = chain();
    s.change({ type: 'pause' }, 1);
    expect(s.tick(1000)).toEqual(['task.failed a']);
    expect(s.tick(10_000)).toEqual(['compensation.started a', 'compensate a 1']);
  });
  it('what fails first stays the cause when another failure is repaired', () => {
    const s = new Story([task('a'), task('b'), task('c')]);
    s.change({ type: 'pause' }, 1);
    for (const n of ['b', 'c', 'a']) s.report(n, `${n}.broke`, 2);
    s.change({ type: 'skip-task', task: 'b' }, 3);
    s.change({ type: 'resume' }, 4);
    expect(s.end?.cause?.code).toBe('c.broke');
  });
});

describe('by hand', () => {
  it('a task is done by an operator: its output counts, and it is undone like any other', () => {
    const s = chain();
    expect(s.change({ type: 'mark-done', task: 'a', output: { v: 1 } }, 1)).toEqual(['instance.changed mark-done', 'run b 1']);
    expect(s.report('a', true, 2)).toBe('workflow.report_stale');
    expect(s.report('b', 'it.broke', 3)).toContain('compensate b 1');
    expect(s.report('b', true, 4)).toEqual(['task.compensated b', 'compensate a 1']);
  });
  it('what was run, and is skipped after it failed, is undone all the same', () => {
    const s = chain();
    s.change({ type: 'pause' }, 1);
    s.report('a', 'it.broke', 2);
    s.change({ type: 'skip-task', task: 'a' }, 3);
    s.change({ type: 'resume' }, 4);
    s.report('b', 'b.broke', 5);
    expect(s.report('b', true, 6)).toEqual(['task.compensated b', 'compensate a 1']);
  });
  it('what is run again, with all behind it, is undone even if it did not come to that', () => {
    const s = new Story([task('a', undo()), task('b', { after: ['a'], ...undo() }), task('other', { deadlineMs: 5000 })]);
    s.report('a', true, 1);
    s.report('b', true, 2);
    expect(s.change({ type: 'retry-from', task: 'a' }, 3)).toEqual(['instance.changed retry-from', 'run a 2']);
    expect(s.report('a', 'it.broke', 4)).toEqual(['task.failed a', 'compensation.started a', 'compensate b 1']);
    expect(s.report('b', true, 5)).toEqual(['task.compensated b', 'compensate a 1']);
  });
  it('running again gives the whole policy of retries again, and asks conditions again', () => {
    const tasks = [task('a'), task('b', { after: ['a'], when: 'tasks.a.output.go', retry: { attempts: 2, backoffMs: 0 } }), task('slow')];
    const s = new Story(tasks);
    s.report('a', true, 1, { output: { go: true } });
    s.report('b', 'x.y', 2, { retriable: true });
    s.report('b', true, 3);
    s.change({ type: 'retry-from', task: 'b' }, 4);
    expect(s.report('b', 'x.y', 5, { retriable: true })).toEqual(['task.failed b', 'run b 4']);
    s.report('b', true, 6);
    s.change({ type: 'retry-from', task: 'a' }, 7);
    expect(s.report('a', true, 8, { output: { go: false } })).toEqual(['task.succeeded a', 'task.skipped b']);
  });
});

describe('a stopped instance', () => {
  const stopped = (): Story => {
    const s = new Story([
      task('go', { pointOfNoReturn: true }),
      task('b', { after: ['go'] }),
      task('c', { after: ['go'], route: bidRoute }),
    ]);
    s.report('go', true, 1);
    return s;
  };
  it('goes on from what failed, with time of its own', () => {
    const s = stopped();
    s.report('b', 'it.broke', 2);
    s.tick(20_000);
    expect(s.end).toMatchObject({ state: 'stopped', missing: ['b', 'c'] });
    expect(s.change({ type: 'retry-from', task: 'b' }, 30_000)).toEqual(['instance.changed retry-from', 'run b 2', 'task.offered c']);
    expect(s.instance.deadlineAt).toBe(Date.parse(iso(40_000)));
  });
  it('begins anew what was under way when it was given up', () => {
    const s = stopped();
    const { token } = s.given('b');
    expect(s.cancel(2, false)).toEqual(['cancel.requested', 'instance.ended stopped']);
    expect(s.report('b', true, 3)).toBe('workflow.report_stale');
    expect(s.change({ type: 'mark-done', task: 'c', output: {} }, 4)).toEqual(['instance.changed mark-done', 'run b 2']);
    expect(s.report('b', true, 5, { token, attempt: 1 })).toBe('workflow.report_stale');
    expect(s.report('b', true, 6)).toEqual(['task.succeeded b', 'instance.ended succeeded']);
  });
});

describe('a change that is refused', () => {
  const PAST = 'workflow.past_point_of_no_return';
  const running = () => new Story([task('a'), task('b', { after: ['a'], pointOfNoReturn: true }), task('c', { after: ['b'] })]);
  it.each<[string, Change, object]>([
    ['an unknown task', { type: 'skip-task', task: 'x' }, { code: 'workflow.task_unknown', task: 'x' }],
    ['before an unknown task', { type: 'add-task', task: task('x'), before: ['y'] }, { code: 'workflow.task_unknown', task: 'y' }],
    [
      'before what has begun',
      { type: 'add-task', task: task('x'), before: ['a'] },
      { code: 'workflow.task_begun', task: 'a', phase: 'dispatched' },
    ],
    [
      'a name that is taken',
      { type: 'duplicate-task', task: 'a', as: 'b' },
      { code: 'workflow.change_invalid', faults: [{ code: 'workflow.name_duplicate', place: 'tasks[3].name' }] },
    ],
    [
      'a cycle',
      { type: 'rewire', task: 'b', after: ['c'] },
      { code: 'workflow.change_invalid', faults: [{ code: 'workflow.cycle', place: 'tasks[1]' }] },
    ],
    [
      'a reference to nothing',
      { type: 'rewire', task: 'c', input: { x: '${tasks.z.output}' } },
      { code: 'workflow.change_invalid', faults: [{ code: 'workflow.task_unknown', place: 'tasks[2].input.x' }] },
    ],
    ['rewiring what has begun', { type: 'rewire', task: 'a', input: {} }, { code: 'workflow.task_begun' }],
    ['rewiring nothing', { type: 'rewire', task: 'c' }, { code: 'workflow.change_refused' }],
    ['replacing what has begun', { type: 'replace-task', task: 'a', with: task('a') }, { code: 'workflow.task_begun' }],
    ['another name', { type: 'replace-task', task: 'c', with: task('d') }, { code: 'workflow.change_refused' }],
    ['skipping a point of no return', { type: 'skip-task', task: 'b' }, { code: 'workflow.change_refused', task: 'b' }],
    ['skipping what runs', { type: 'skip-task', task: 'a' }, { code: 'workflow.task_running', task: 'a' }],
    ['running again what runs', { type: 'retry-from', task: 'a' }, { code: 'workflow.task_running' }],
    ['running again what has not run', { type: 'retry-from', task: 'c' }, { code: 'workflow.change_refused' }],
    ['limits of nothing', { type: 'set-limits', task: 'a' }, { code: 'workflow.change_refused' }],
    ['concurrency of one task', { type: 'set-limits', task: 'a', concurrency: 2 }, { code: 'workflow.change_refused' }],
    ['another limit of the instance', { type: 'set-limits', priority: 2 }, { code: 'workflow.change_refused' }],
    ['a deadline that has passed', { type: 'set-limits', deadlineMs: 1 }, { code: 'workflow.change_refused' }],
    [
      'an output that is too large',
      { type: 'mark-done', task: 'a', output: { x: 'x'.repeat(MAX_OUTPUT) } },
      { code: 'workflow.change_refused' },
    ],
  ])('%s', (_, wanted, refused) => {
    expect(change(running(), wanted)).toMatchObject(refused);
  });
  it('rewrites what has ended, or passed', () => {
    const s = running();
    s.report('a', true, 1);
    for (const type of ['mark-done', 'skip-task', 'reassign'] as const) {
      const wanted = { type, task: 'a', output: {}, route: direct } as Change;
      expect(change(s, wanted)).toMatchObject({ code: 'workflow.task_ended', phase: 'succeeded' });
    }
    expect(change(s, { type: 'set-limits', task: 'a', priority: 1 })).toMatchObject({ code: 'workflow.task_ended' });
    s.report('b', true, 2);
    expect(change(s, { type: 'retry-from', task: 'a' })).toEqual({ code: PAST });
  });
  it('begins a point of no return anew while a failure waits for its outcome', () => {
    const s = new Story([task('go', { pointOfNoReturn: true }), task('b')]);
    s.report('b', 'it.broke', 1);
    expect(change(s, { type: 'reassign', task: 'go', route: direct })).toEqual({ code: 'workflow.ending' });
  });
  it('comes while it is undone, after its end, or before its start', () => {
    const s = chain();
    s.cancel(1);
    expect(change(s, { type: 'pause' })).toEqual({ code: 'workflow.ending' });
    s.report('a', true, 2);
    s.report('a', true, 3);
    expect(change(s, { type: 'pause' })).toEqual({ code: 'workflow.ended' });
    s.state = { status: 'none' };
    expect(s.when({ type: 'change', change: { type: 'pause' }, actor: 'a', reason: 'r', at: iso(1) })).toMatch(/^workflow\./);
  });
  it('lets a sub-workflow go on past what its parent waits for, or after it was told', () => {
    const s = new Story(definition([task('go', { pointOfNoReturn: true }), task('b', { after: ['go'] })]), {}, { deadlineAt: iso(5000) });
    expect(change(s, { type: 'set-limits', deadlineMs: 6000 })).toMatchObject({ code: 'workflow.change_refused' });
    s.report('go', true, 1);
    s.report('b', 'it.broke', 2);
    expect(s.end?.state).toBe('stopped');
    expect(change(s, { type: 'retry-from', task: 'b' })).toEqual({ code: 'workflow.ended' });
  });
});
