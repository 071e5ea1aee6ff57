import { describe, expect, it } from '@jest/globals';
import { MAX_BIDS } from './offer.ts';
import { bidRoute, iso, Story, task, undo } from '../test-kit/story.ts';

const build = (more: Parameters<typeof task>[1] = {}, route: object = {}) => task('build', { route: { ...bidRoute, ...route }, ...more });

describe('an offer', () => {
  it('names what is asked for, and is awarded when its window closes', () => {
    const s = new Story([build({}, { labels: { zone: '${params.list.0}' } })], { list: ['north'] });
    expect(s.events.at(-1)).toMatchObject({ data: { task: 'build', offer: 1, attempt: 1, labels: { zone: 'north' }, closesAt: iso(100) } });
    expect(s.bid('build', 'host:h1', 10, { cost: 5 })).toEqual(['bid.received build host:h1']);
    expect(s.bid('build', 'host:h2', 20, { cost: 3 })).toEqual(['bid.received build host:h2']);
    expect(s.tick(99)).toEqual([]);
    expect(s.tick(100)).toEqual(['run build 1']);
    expect(s.given('build')).toMatchObject({ executor: 'host:h2', beginBy: iso(300) });
    expect(s.report('build', true, 150)).toEqual(['task.succeeded build', 'instance.ended succeeded']);
  });

  it.each([
    [
      'the cheapest',
      {},
      [
        ['a', { cost: 2 }],
        ['b', { cost: 1 }],
      ],
      'b',
    ],
    [
      'one that is ready before a cheaper one that is not',
      {},
      [
        ['a', { cost: 9 }],
        ['b', { cost: 1, ready: false }],
      ],
      'a',
    ],
    [
      'one of good rank before a cheaper one that failed',
      {},
      [
        ['a', { cost: 9 }],
        ['b', { cost: 1, rank: 1 }],
      ],
      'a',
    ],
    [
      'the freer of equals',
      {},
      [
        ['a', { free: 1 }],
        ['b', { free: 4 }],
      ],
      'b',
    ],
    [
      'the first by name of equals',
      {},
      [
        ['b', {}],
        ['a', {}],
      ],
      'a',
    ],
    [
      'the near one',
      { award: 'affinity', near: 'b' },
      [
        ['a', { cost: 0 }],
        ['b', { cost: 9 }],
      ],
      'b',
    ],
    [
      'the cheapest where the near one does not bid',
      { award: 'affinity', near: 'c' },
      [
        ['a', { cost: 4 }],
        ['b', { cost: 2 }],
      ],
      'b',
    ],
  ] as const)('goes to %s', (_, route, bids, winner) => {
    const s = new Story([build({}, route)]);
    bids.forEach(([executor, more]) => s.bid('build', executor, 1, more));
    s.tick(100);
    expect(s.given('build').executor).toBe(winner);
  });

  it('is spread over those who bid, whatever they are called', () => {
    const tasks = ['t-a', 't-b', 't-c'].map((name, i) =>
      task(name, { route: { ...bidRoute, award: 'spread' }, after: i ? [`t-${'abc'[i - 1]}`] : [] }),
    );
    const s = new Story(tasks);
    const winners = tasks.map(({ name }, i) => {
      for (const executor of ['__proto__', 'a']) s.bid(name, executor, i * 200 + 1);
      s.tick(i * 200 + 100);
      s.report(name, true, i * 200 + 200);
      return s.given(name).executor;
    });
    expect(winners).toEqual(['__proto__', 'a', '__proto__']);
  });
});

describe('nobody bids', () => {
  it('is offered again, then fails', () => {
    const s = new Story([task('first', undo()), build({ after: ['first'] })]);
    s.report('first', true, 0);
    expect(s.tick(100)).toEqual(['task.offered build']);
    expect(s.tick(200)).toEqual(['task.failed build', 'compensation.started build', 'compensate first 1']);
    s.report('first', true, 201);
    expect(s.end).toMatchObject({ state: 'undone', cause: { code: 'workflow.no_bid' } });
  });
  it('is given to whom the route names otherwise', () => {
    const s = new Story([build({}, { otherwise: 'host:${params.list.0}' })], { list: ['h9'] });
    s.tick(100);
    expect(s.tick(200)).toEqual(['run build 1']);
    expect(s.given('build').executor).toBe('host:h9');
    expect(s.given('build').beginBy).toBeUndefined();
  });
  it('fails where that one cannot be told', () => {
    const s = new Story([build({}, { otherwise: 'host:${params.list.0}' })]);
    s.tick(100);
    s.tick(200);
    expect(s.end?.cause?.code).toBe('workflow.executor_unresolved');
  });
});

describe('an award', () => {
  const won = (more: Parameters<typeof task>[1] = {}): Story => {
    const s = new Story([build(more)]);
    s.bid('build', 'host:h1', 1);
    s.tick(100);
    return s;
  };
  it('lapses if nothing is heard, and is offered anew with a higher token', () => {
    const s = won();
    const first = s.given('build');
    expect(s.tick(300)).toEqual(['task.failed build', 'task.offered build']);
    expect(s.events.at(-2)).toMatchObject({ data: { cause: { code: 'workflow.award_lapsed', detail: { executor: 'host:h1' } } } });
    s.bid('build', 'host:h2', 310);
    expect(s.tick(400)).toEqual(['run build 2']);
    expect(s.given('build').token).toBeGreaterThan(first.token);
    expect(s.report('build', true, 401, { attempt: 1, token: first.token })).toBe('workflow.report_stale');
    expect(s.beat('build', 401, { attempt: 1, token: first.token })).toBe('workflow.report_stale');
  });
  it('has begun with its first heartbeat, kept once', () => {
    const s = won();
    expect(s.beat('build', 150)).toEqual(['heartbeat.recorded build']);
    expect(s.beat('build', 151)).toEqual([]);
    expect(s.tick(300)).toEqual([]);
    expect(s.tick(1100)).toContain('task.failed build');
  });
  it('lapses only as often as the route offers; then the policy for retries decides', () => {
    const s = won({ retry: { attempts: 2, backoffMs: 0 } });
    let ms = 100;
    for (let n = 0; !s.end && n < 20; n++) {
      s.tick((ms += 200));
      s.bid('build', 'host:h1', ms + 1);
      s.tick((ms += 100));
    }
    expect(s.end).toMatchObject({ state: 'undone', cause: { code: 'workflow.award_lapsed' } });
    expect(s.task('build').attempts).toHaveLength(3);
  });
  it('that fails is tried again by a new offer', () => {
    const s = won({ retry: { attempts: 2, backoffMs: 50 } });
    expect(s.report('build', 'x.y', 150, { retriable: true })).toEqual(['task.failed build']);
    expect(s.tick(200)).toEqual(['task.offered build']);
    expect(s.task('build').offer).toMatchObject({ number: 2, round: 1 });
  });
});

describe('a bid that is refused', () => {
  it.each([
    ['after the window', (s: Story) => s.bid('build', 'a', 100)],
    ['for another offer', (s: Story) => s.bid('build', 'a', 1, { offer: 7 })],
    ['after the award', (s: Story) => (s.bid('build', 'a', 1), s.tick(100), s.bid('build', 'b', 99))],
    ['after the end', (s: Story) => (s.cancel(1, false), s.bid('build', 'a', 2))],
    ['while it is undone', (s: Story) => (s.cancel(1), s.bid('build', 'a', 2))],
  ])('comes %s', (_, act) => {
    const s = new Story([build(), task('other', undo())]);
    expect(act(s)).toBe('workflow.offer_closed');
  });
  it('is a second one, or for no task of it', () => {
    const s = new Story([build()]);
    s.bid('build', 'a', 1);
    expect(s.bid('build', 'a', 2, { cost: 0 })).toBe('workflow.bid_duplicate');
    expect(s.bid('nobody', 'a', 2, { offer: 1 })).toBe('workflow.task_unknown');
  });
  it('is one of a flood', () => {
    const s = new Story([build()]);
    for (let i = 0; i < MAX_BIDS; i++) expect(s.bid('build', `h${i}`, 1)).toHaveLength(1);
    expect(s.bid('build', 'one-more', 2)).toBe('workflow.bids_full');
  });
});
