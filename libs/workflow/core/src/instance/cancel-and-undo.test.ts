import { describe, expect, it } from '@jest/globals';
import { bidRoute, Story, task, undo } from '../test-kit/story.ts';

const chain = () => new Story([task('a', undo()), task('b', { after: ['a'], ...undo() }), task('c', { after: ['b'] })]);

describe('cancel without compensation', () => {
  it('gives nothing more out, names what is left, and listens to nobody', () => {
    const s = chain();
    s.report('a', true, 1);
    expect(s.cancel(2, false)).toEqual(['cancel.requested', 'instance.ended cancelled']);
    expect(s.end).toMatchObject({ cause: { code: 'workflow.cancelled' }, missing: ['a', 'b'] });
    expect(s.report('b', true, 3)).toBe('workflow.report_stale');
    expect(s.beat('b', 3)).toBe('workflow.report_stale');
    expect(s.tick(9_000)).toEqual([]);
    expect(s.cancel(4, false)).toBe('workflow.ended');
  });
  it('names nothing where nothing can be left', () => {
    const s = new Story([task('a', { route: bidRoute, ...undo() })]);
    s.cancel(1, false);
    expect(s.end).toMatchObject({ state: 'cancelled' });
    expect(s.end).not.toHaveProperty('missing');
  });
  it('breaks an undo off: it is failed, and says what is left', () => {
    const s = chain();
    s.report('a', true, 1);
    s.report('b', 'it.broke', 2);
    s.report('b', true, 3);
    expect(s.cancel(4, false)).toEqual(['cancel.requested', 'instance.ended failed']);
    expect(s.end).toMatchObject({ cause: { code: 'it.broke' }, missing: ['a'] });
  });
  it('past the point of no return it is stopped, with what is not done', () => {
    const s = new Story([task('go', { pointOfNoReturn: true }), task('b', { after: ['go'] })]);
    s.report('go', true, 1);
    expect(s.cancel(2)).toBe('workflow.past_point_of_no_return');
    s.cancel(2, false);
    expect(s.end).toMatchObject({ state: 'stopped', missing: ['b'], cause: { code: 'workflow.cancelled' } });
  });
});

describe('cancel', () => {
  it('while it is paused undoes', () => {
    const s = chain();
    s.change({ type: 'pause' }, 1);
    s.report('a', true, 2);
    expect(s.cancel(3)).toEqual(['cancel.requested', 'compensation.started', 'compensate a 1']);
  });
  it('comes too late once something failed: it ends by itself', () => {
    const s = new Story([task('go', { pointOfNoReturn: true }), task('b')]);
    s.report('b', 'it.broke', 1);
    expect(s.cancel(2)).toBe('workflow.ending');
  });
  it('that a point of no return overtakes hides no failure that came meanwhile', () => {
    const s = new Story([task('go', { pointOfNoReturn: true }), task('b'), task('c', { after: ['go'] })]);
    s.cancel(1);
    s.report('b', 'it.broke', 2);
    expect(s.report('go', true, 3)).toEqual(['task.succeeded go', 'run c 1']);
    s.report('c', true, 4);
    expect(s.end).toMatchObject({ state: 'stopped', cause: { code: 'it.broke' }, missing: ['b'] });
  });
  it('ends by hand what it waited for: the mark commits', () => {
    const s = new Story([task('go', { pointOfNoReturn: true }), task('c', { after: ['go'] })]);
    s.cancel(1);
    expect(s.change({ type: 'mark-done', task: 'go', output: {} }, 2)).toEqual(['instance.changed mark-done', 'run c 1']);
    s.report('c', 'it.broke', 3);
    expect(s.end).toMatchObject({ state: 'stopped', cause: { code: 'it.broke' } });
  });
});

describe('undo of one that has succeeded', () => {
  const succeeded = (): Story => {
    const s = chain();
    for (const n of ['a', 'b', 'c']) s.report(n, true, 1);
    return s;
  };
  it('undoes in reverse, long after, and once', () => {
    const s = succeeded();
    expect(s.undo(1_000_000)).toEqual(['compensation.started', 'compensate b 1']);
    expect(s.undo(1_000_001)).toEqual([]);
    expect(s.report('b', true, 1_000_002)).toEqual(['task.compensated b', 'compensate a 1']);
    expect(s.report('a', true, 1_000_003)).toEqual(['task.compensated a', 'instance.ended undone']);
    expect(s.end).toMatchObject({ cause: { code: 'workflow.undo_asked', message: 'not wanted' } });
    expect(s.undo(1_000_004)).toEqual([]);
  });
  /** Nobody answers until the undo of b has failed for good. */
  const failing = (): Story => {
    const s = succeeded();
    s.undo(10);
    for (let ms = 20_000, n = 0; !s.end && n < 10; n++, ms += 20_000) s.tick(ms);
    return s;
  };
  it('is failed where an undo fails, with what is left and whose undo it was', () => {
    expect(failing().end).toMatchObject({ state: 'failed', missing: ['a', 'b'], failed: ['b'], cause: { code: 'workflow.undo_asked' } });
  });
  it('goes on with what is left when it is asked for again, with all its attempts', () => {
    const s = failing();
    expect(s.undo(1_000_000)).toEqual(['compensation.started', 'compensate b 6']);
    expect(s.tick(1_020_000)).toEqual(['compensation.failed b']);
    expect(s.tick(1_040_000)).toEqual(['compensate b 7']);
    expect(s.report('b', true, 1_040_001)).toEqual(['task.compensated b', 'compensate a 1']);
    s.report('a', true, 1_040_002);
    expect(s.end).toMatchObject({ state: 'undone', cause: { code: 'workflow.undo_asked' } });
    expect(s.end).not.toHaveProperty('missing');
  });
  it('undoes what one that was given up left, and listens to nobody who was at it', () => {
    const s = chain();
    s.report('a', true, 1);
    s.cancel(2, false);
    expect(s.undo(1_000)).toEqual(['compensation.started', 'compensate b 1']);
    expect(s.report('b', true, 1_001)).toEqual(['task.compensated b', 'compensate a 1']);
    s.report('a', true, 1_002);
    expect(s.end).toMatchObject({ state: 'cancelled' });
    expect(s.end).not.toHaveProperty('missing');
    expect(s.undo(1_003)).toBe('workflow.ended');
  });
  it('is refused where it was given up while its point of no return was under way', () => {
    const s = new Story([task('a', undo()), task('go', { after: ['a'], pointOfNoReturn: true })]);
    s.report('a', true, 1);
    s.cancel(2, false);
    expect(s.undo(3)).toBe('workflow.past_point_of_no_return');
  });
  it('is refused while it runs, past a point of no return, and of one that is not there', () => {
    expect(chain().undo(1)).toBe('workflow.ending');
    const s = new Story([task('go', { pointOfNoReturn: true })]);
    s.report('go', true, 1);
    expect(s.undo(2)).toBe('workflow.past_point_of_no_return');
    s.state = { status: 'none' };
    expect(s.undo(3)).toBe('workflow.unknown');
  });
});
