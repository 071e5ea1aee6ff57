import { describe, expect, it } from '@jest/globals';
import type { Route } from '@chrysalis/contracts';
import { bidRoute, Story, task, undo } from '../test-kit/story.ts';

const whereDone: Route = { mode: 'direct', group: 'agent-gateway', executor: '${executor}' };
const undoThere = (more: Parameters<typeof undo>[0] = {}) =>
  undo({ route: whereDone, input: { path: '${tasks.build.output.path}' }, ...more });

/** h1 wins and is not heard of; h2 wins then, and has built it. */
const builtElsewhere = (more: Parameters<typeof undo>[0] = {}): Story => {
  const s = new Story([task('build', { route: bidRoute, ...undoThere(more) }), task('use', { after: ['build'] })]);
  s.bid('build', 'host:h1', 10);
  s.tick(100);
  s.tick(300);
  s.bid('build', 'host:h2', 310);
  s.tick(400);
  s.report('build', true, 500, { output: { path: '/at/h2' } });
  return s;
};

describe('a task that was given to several executors', () => {
  it('is undone at each of them, the latest first; only who gave the output gets it back', () => {
    const s = builtElsewhere();
    expect(s.report('use', 'it.broke', 600)).toEqual(['task.failed use', 'compensation.started use', 'compensate build 1']);
    expect(s.given('build')).toMatchObject({ executor: 'host:h2', input: { path: '/at/h2' } });
    expect(s.report('build', true, 610)).toEqual(['task.compensated build', 'compensate build 2']);
    expect(s.events.at(-2)).toMatchObject({ data: { left: 1 } });
    expect(s.given('build')).toMatchObject({ executor: 'host:h1', input: { path: null } });
    expect(s.report('build', true, 620)).toEqual(['task.compensated build', 'instance.ended undone']);
    expect(s.events.at(-2)).not.toHaveProperty('data.left');
  });

  it('is not undone while one of them has not said so, and who fails for good is the end of it', () => {
    const s = builtElsewhere({ retry: { attempts: 2, backoffMs: 10 } });
    s.report('use', 'it.broke', 600);
    expect(s.report('build', 'disk.busy', 610, { retriable: true })).toEqual(['compensation.failed build']);
    s.tick(620);
    s.report('build', true, 630);
    // each executor has the attempts of the policy for itself
    expect(s.report('build', 'disk.busy', 640, { retriable: true })).toEqual(['compensation.failed build']);
    s.tick(650);
    expect(s.given('build')).toMatchObject({ executor: 'host:h1', attempt: 4 });
    expect(s.report('build', 'disk.busy', 660, { retriable: true })).toEqual(['compensation.failed build', 'instance.ended failed']);
    expect(s.end).toMatchObject({ missing: ['build'] });
  });

  it('holds back what it depends on until all of them have undone it', () => {
    const s = new Story([task('hold', undo()), task('build', { after: ['hold'], route: bidRoute, ...undoThere() })]);
    s.report('hold', true, 1);
    s.bid('build', 'host:h1', 10);
    s.tick(101);
    s.tick(301);
    s.bid('build', 'host:h2', 310);
    s.tick(401);
    expect(s.report('build', 'it.broke', 500)).toEqual(['task.failed build', 'compensation.started build', 'compensate build 1']);
    expect(s.report('build', true, 510)).toEqual(['task.compensated build', 'compensate build 2']);
    expect(s.report('build', true, 520)).toEqual(['task.compensated build', 'compensate hold 1']);
  });

  it('is undone once where its undo does not say ${executor}', () => {
    const s = new Story([task('build', { route: bidRoute, ...undo() }), task('use', { after: ['build'] })]);
    s.bid('build', 'host:h1', 10);
    s.tick(100);
    s.tick(300);
    s.bid('build', 'host:h2', 310);
    s.tick(400);
    s.report('build', true, 500);
    s.report('use', 'it.broke', 600);
    expect(s.given('build').executor).toBe('group:provisioning');
    expect(s.report('build', true, 610)).toEqual(['task.compensated build', 'instance.ended undone']);
  });

  it('and twice to the same one is undone there once', () => {
    const s = new Story([
      task('build', { route: { ...whereDone, executor: 'host:h1' }, retry: { attempts: 2, backoffMs: 10 }, ...undoThere() }),
    ]);
    s.report('build', 'it.broke', 10, { retriable: true });
    s.tick(20);
    expect(s.report('build', 'it.broke', 30)).toEqual(['task.failed build', 'compensation.started build', 'compensate build 1']);
    expect(s.report('build', true, 40)).toEqual(['task.compensated build', 'instance.ended undone']);
  });

  it('by an operator goes to the one that was superseded, too', () => {
    const s = new Story([task('build', { route: { ...whereDone, executor: 'host:h1' }, ...undoThere() })]);
    s.change({ type: 'reassign', task: 'build', route: { ...whereDone, executor: 'host:h2' } }, 10);
    expect(s.given('build').executor).toBe('host:h2');
    s.report('build', 'it.broke', 20);
    expect(s.given('build')).toMatchObject({ action: 'compensate', executor: 'host:h2' });
    s.report('build', true, 30);
    expect(s.given('build')).toMatchObject({ action: 'compensate', executor: 'host:h1' });
    s.report('build', true, 40);
    expect(s.end).toMatchObject({ state: 'undone' });
  });
});
