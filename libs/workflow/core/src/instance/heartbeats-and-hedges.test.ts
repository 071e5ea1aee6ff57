import { describe, expect, it } from '@jest/globals';
import { definition, iso, Story, task, undo } from '../test-kit/story.ts';
import { nextTimerAt } from '../index.ts';

describe('heartbeats', () => {
  const watched = (more: Parameters<typeof task>[1] = {}) => new Story([task('a', { heartbeatMs: 300, ...more })]);
  it('silence fails the attempt, long before its deadline', () => {
    const s = watched({ retry: { attempts: 2, backoffMs: 0 } });
    expect(s.tick(299)).toEqual([]);
    expect(s.tick(300)).toEqual(['task.failed a', 'run a 2']);
    s.tick(600);
    expect(s.end).toMatchObject({ cause: { code: 'workflow.heartbeat_missed' } });
  });
  it('each one heard moves the limit; at most three in the span are kept', () => {
    const s = watched();
    expect(s.beat('a', 100)).toEqual(['heartbeat.recorded a']);
    expect(s.beat('a', 199)).toEqual([]);
    expect(s.beat('a', 200)).toEqual(['heartbeat.recorded a']);
    expect(s.tick(499)).toEqual([]);
    expect(s.tick(500)).toContain('task.failed a');
  });
  it('do not move the deadline', () => {
    const s = watched();
    for (let ms = 100; ms < 1000; ms += 100) s.beat('a', ms);
    expect(s.tick(1000)).toContain('task.failed a');
    expect(s.end?.cause?.code).toBe('workflow.deadline_passed');
  });
  it('of a superseded attempt, an unknown task or another workflow change nothing', () => {
    const s = watched({ retry: { attempts: 2, backoffMs: 0 } });
    const { token } = s.given('a');
    s.tick(300);
    expect(s.beat('a', 301, { token, attempt: 1 })).toBe('workflow.report_stale');
    const heartbeat = { workflowId: 'w1', task: 'x', action: 'run' as const, attempt: 1, token, executor: 'x', at: iso(1) };
    expect(s.when({ type: 'heartbeat', heartbeat, at: iso(1) })).toBe('workflow.task_unknown');
    s.report('a', true, 302);
    expect(s.beat('a', 303)).toBe('workflow.report_stale');
  });
});

describe('hedges', () => {
  const hedged = (more: Parameters<typeof task>[1] = {}) =>
    new Story([task('a', { hedge: { afterMs: 100 }, idempotent: true, ...more }), task('b', { after: ['a'] })]);
  it('a second execution begins beside a slow one, once', () => {
    const s = hedged();
    expect(s.tick(100)).toEqual(['run a 2 hedge']);
    expect(s.tick(500)).toEqual([]);
  });
  it.each([[1], [2]])('the first result counts, if it is that of attempt %i; the other one is not heard', (winner) => {
    const s = hedged();
    const first = s.given('a');
    s.tick(100);
    const second = s.given('a');
    const [won, lost] = winner === 1 ? [first, second] : [second, first];
    expect(s.report('a', true, 200, { attempt: won.attempt, token: won.token })).toEqual(['task.succeeded a', 'run b 1']);
    expect(s.instance.open).toBe(1);
    expect(s.report('a', true, 201, { attempt: lost.attempt, token: lost.token })).toBe('workflow.report_stale');
    expect(s.report('a', true, 201, { attempt: won.attempt, token: won.token })).toBe('workflow.report_duplicate');
  });
  it('one that fails is no failure while the other goes on; both are', () => {
    const s = hedged(undo());
    const first = s.given('a');
    s.tick(100);
    expect(s.report('a', 'hedge.broke', 150)).toEqual(['task.failed a']);
    expect(s.instance.cause).toBeUndefined();
    expect(s.tick(400)).toEqual([]);
    const { attempt, token } = first;
    expect(s.report('a', 'first.broke', 500, { attempt, token })).toEqual(['task.failed a', 'compensation.started a', 'compensate a 1']);
  });
  it('counts for no limit of attempts', () => {
    const s = hedged({ retry: { attempts: 2, backoffMs: 0 } });
    s.tick(100);
    expect(s.tick(1000)).toEqual(['task.failed a']);
    expect(s.tick(1100)).toEqual(['task.failed a', 'run a 3']);
  });
  it('goes by what is usual, where it says a factor; never where nobody knows', () => {
    const d = definition([task('a', { hedge: { factor: 2 }, idempotent: true })]);
    const of = (usualMs?: Record<string, number>) => {
      const s = new Story([task('x')]);
      s.state = { status: 'none' };
      const request = { workflowId: 'w1', definition: d, params: {}, subject: 's', ...(usualMs ? { usualMs } : {}) };
      s.when({ type: 'start', request, tenant: 't', at: iso(0) });
      return nextTimerAt(s.state)! - Date.parse(iso(0));
    };
    expect(of({ 'test.do': 120 })).toBe(240);
    expect(of()).toBe(1000);
  });
  it('waits while it is paused', () => {
    const s = hedged();
    s.change({ type: 'pause' }, 50);
    expect(s.tick(150)).toEqual([]);
    expect(s.change({ type: 'resume' }, 200)).toEqual(['instance.changed resume', 'run a 2 hedge']);
  });
});
