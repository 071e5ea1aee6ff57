import { describe, expect, it } from '@jest/globals';
import { MAX_ITEMS } from './fan.ts';
import { definition, Story, task, undo } from '../test-kit/story.ts';

const each = (more: Parameters<typeof task>[1] = {}, concurrency = 2) =>
  task('each', { forEach: { items: '${params.list}', concurrency }, input: { it: '${item}', at: '${index}' }, ...more });
const list = ['a', 'b', 'c', 'd'];

describe('a forEach', () => {
  it('becomes items, as many at a time as it says, and gives their outputs in their order', () => {
    const s = new Story([each(), task('behind', { input: { all: '${tasks.each.output}' } })], { list });
    expect(s.events.map((e) => e.type.split('.').at(-2))).toEqual(['started', 'expanded', 'dispatched', 'dispatched']);
    expect(s.given('each.1')).toMatchObject({ input: { it: 'b', at: 1 } });
    expect(s.report('each.1', true, 1, { output: { n: 1 } })).toEqual(['task.succeeded each.1', 'run each.2 1']);
    expect(s.report('each.2', true, 2, { output: { n: 2 } })).toEqual(['task.succeeded each.2', 'run each.3 1']);
    s.report('each.3', true, 3, { output: { n: 3 } });
    expect(s.report('each.0', true, 4, { output: { n: 0 } })).toEqual(['task.succeeded each.0', 'task.succeeded each', 'run behind 1']);
    expect(s.given('behind').input).toEqual({ all: { count: 4, items: [{ n: 0 }, { n: 1 }, { n: 2 }, { n: 3 }] } });
  });

  it('of no items is done at once', () => {
    const s = new Story([each(), task('behind', { after: ['each'] })], { list: [] });
    expect(s.task('each')).toMatchObject({ phase: 'succeeded', output: { count: 0, items: [] } });
    expect(s.given('behind')).toBeDefined();
  });

  it('asks its condition once if it is about all, and of each item if it is about that', () => {
    const of = (when: string) =>
      new Story(definition([each({ when })], { params: { list: { type: 'array' }, go: { type: 'boolean' } } }), { list, go: false });
    expect(of('params.go').task('each').phase).toBe('skipped');
    const s = of('item != "b" && index < 2');
    expect(['each.0', 'each.1', 'each.2', 'each.3'].map((n) => s.task(n).phase)).toEqual(['dispatched', 'skipped', 'skipped', 'skipped']);
    s.report('each.0', true, 1, { output: { n: 0 } });
    expect(s.task('each').output).toEqual({ count: 4, items: [{ n: 0 }, null, null, null] });
  });

  it('retries an item alone, and keeps its place while it waits', () => {
    const s = new Story([each({ retry: { attempts: 2, backoffMs: 50 } })], { list });
    expect(s.report('each.0', 'x.y', 1, { retriable: true })).toEqual(['task.failed each.0']);
    expect(s.tick(51)).toEqual(['run each.0 2']);
  });

  it('undoes each item that ran, as many at a time, then what came before', () => {
    const s = new Story(
      [task('before', undo()), each({ after: ['before'], ...undo({ input: { it: '${item}', gave: '${tasks.each.output.n}' } }) })],
      { list },
    );
    s.report('before', true, 1);
    s.report('each.0', true, 2, { output: { n: 7 } });
    expect(s.report('each.1', 'it.broke', 3)).toEqual(['task.failed each.1', 'compensation.started each.1', 'compensate each.0 1']);
    expect(s.given('each.0').input).toEqual({ it: 'a', gave: 7 });
    expect(s.report('each.2', true, 4)).toEqual(['task.succeeded each.2', 'compensate each.2 1']);
    expect(s.report('each.0', true, 5)).toEqual(['task.compensated each.0', 'compensate each.1 1']);
    expect(s.given('each.1').input).toEqual({ it: 'b', gave: null });
    s.report('each.1', true, 6);
    expect(s.report('each.2', true, 7)).toEqual(['task.compensated each.2', 'compensate before 1']);
    s.report('before', true, 8);
    expect(s.end).toMatchObject({ state: 'undone', cause: { code: 'it.broke' } });
    expect(s.task('each.3').attempts).toEqual([]);
  });

  it('names the items that are left', () => {
    const s = new Story([each(undo({ retry: { attempts: 1, backoffMs: 0 } }))], { list });
    s.report('each.0', true, 1);
    s.report('each.1', true, 2);
    s.report('each.2', 'it.broke', 3);
    s.report('each.3', 'it.broke.too', 4);
    for (const n of ['each.0', 'each.1', 'each.2']) s.report(n, n === 'each.1' ? 'undo.broke' : true, 5);
    s.report('each.3', true, 6);
    expect(s.end).toMatchObject({ state: 'failed', cause: { code: 'it.broke' }, missing: ['each.1'] });
  });
});

describe('bad items', () => {
  const found = (list: unknown): Story => {
    const s = new Story([task('find'), task('each', { forEach: { items: '${tasks.find.output.list}', concurrency: 1 } })]);
    s.report('find', true, 1, { output: { list } });
    return s;
  };
  it.each([['a text'], [7], [null], [{ 0: 'a' }]])('%p is no array', (list) => {
    const s = found(list);
    expect(s.end).toMatchObject({ state: 'undone', cause: { code: 'workflow.items_not_array' } });
  });
  it('are absent', () => {
    expect(found(undefined).end?.cause?.code).toBe('workflow.items_not_array');
  });
  it('are too many', () => {
    const s = new Story([each()], { list: Array.from({ length: MAX_ITEMS + 1 }, () => 0) });
    expect(s.end).toMatchObject({ state: 'undone', cause: { code: 'workflow.items_too_many' } });
  });
  it('are too many together', () => {
    const tasks = Array.from({ length: 6 }, (_, i) => ({ ...each({}, 1), name: `each-${i}` }));
    const s = new Story(tasks, { list: Array.from({ length: MAX_ITEMS }, () => 0) });
    expect(s.instance.cause).toMatchObject({ code: 'workflow.items_too_many' });
    expect(s.instance.graph.nodes.length).toBeLessThanOrEqual(100_000);
  });
});

describe('changes of a forEach under way', () => {
  it('a higher limit lets more go, a lower one waits', () => {
    const s = new Story([each()], { list });
    expect(s.change({ type: 'set-limits', task: 'each', concurrency: 3 }, 1)).toEqual(['instance.changed set-limits', 'run each.2 1']);
    s.change({ type: 'set-limits', task: 'each', concurrency: 1 }, 2);
    expect(s.report('each.0', true, 3)).toEqual(['task.succeeded each.0']);
    expect(s.report('each.1', true, 4)).toEqual(['task.succeeded each.1']);
    expect(s.report('each.2', true, 5)).toEqual(['task.succeeded each.2', 'run each.3 1']);
  });
  it('an item that was paused out of its turn gets it anew, within the limit of then', () => {
    const s = new Story([each({}, 3)], { list });
    s.change({ type: 'pause' }, 1);
    s.report('each.0', true, 2);
    s.change({ type: 'set-limits', task: 'each', concurrency: 2 }, 3);
    expect(s.change({ type: 'resume' }, 4)).toEqual(['instance.changed resume']);
    expect(s.report('each.1', true, 5)).toEqual(['task.succeeded each.1', 'run each.3 1']);
  });
  it('one item is skipped, marked done, run again: never the forEach as a whole', () => {
    const s = new Story([each({}, 1)], { list });
    expect(s.change({ type: 'skip-task', task: 'each.2' }, 1)).toEqual(['instance.changed skip-task']);
    expect(s.change({ type: 'mark-done', task: 'each.3', output: { by: 'hand' } }, 1)).toEqual(['instance.changed mark-done']);
    expect(s.report('each.0', true, 2)).toEqual(['task.succeeded each.0', 'run each.1 1']);
    for (const type of ['skip-task', 'retry-from'] as const) expect(s.change({ type, task: 'each' }, 3)).toBe('workflow.change_refused');
    expect(s.change({ type: 'mark-done', task: 'each', output: {} }, 3)).toBe('workflow.change_refused');
    expect(s.report('each.1', true, 4)).toEqual(['task.succeeded each.1', 'task.succeeded each', 'instance.ended succeeded']);
    expect(s.task('each').output).toEqual({ count: 4, items: [{}, {}, null, { by: 'hand' }] });
  });
});
