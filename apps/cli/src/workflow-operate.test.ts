import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { until } from '@chrysalis/testing';
import { step, workflow } from '../../workflow/src/test/definitions.ts';
import { ended, type World } from '../../workflow/src/test/world.ts';
import { Front } from './test/front.ts';
import type { Ran } from './test/run.ts';

let front: Front;
let world: World;
let broken = true;
beforeAll(async () => {
  front = await Front.open((input, { dispatch }) =>
    broken && input['n'] === 3 && dispatch.action === 'run'
      ? { ok: false, cause: { code: 'x.three', message: 'three is bad' } }
      : { ok: true, output: {} },
  );
  ({ world } = front);
});
afterAll(() => front?.close());

const cli = (...args: string[]): Promise<Ran> => front.chrysalis('workflow', ...args);
const row = async (table: string, id: string) =>
  (
    await front.projector.service.pool.query<{ version: number; data: Record<string, never> }>(
      `select version, data from read.${table} where id = $1`,
      [id],
    )
  ).rows[0];

describe('an operator at the command line, through the door', () => {
  it('sees, changes, retries, replays and analyses; the read models follow', async () => {
    const definition = workflow(
      [
        step('point', 'alpha', { pointOfNoReturn: true }),
        step('each', 'beta', { after: ['point'], forEach: { items: '${params.list}', concurrency: 2 }, input: { n: '${item}' } }),
        step('last', 'alpha', { after: ['each'] }),
        step('report', 'alpha', { after: ['last'] }),
      ],
      { params: { list: { type: 'array' } } },
    );
    const id = await world.ask(definition, { list: [1, 2, 3, 4] });
    expect(await world.until(id, ended)).toMatchObject({ state: 'stopped' });
    const got = await cli('get', id);
    expect(got.stdout).toMatch(/state:\s+stopped[^]*> each\s+beta\.do[^]*3\/4 done, 1 failed[^]*x each\.2[^]*x\.three: three is bad/);
    expect(await cli('pause', id, '--reason', 'x')).toMatchObject({
      code: 4,
      stderr: expect.stringMatching(/workflow\.ended: It has ended/),
    });
    expect(await cli('retry-from', id, 'ghost', '--reason', 'x')).toMatchObject({ code: 3, stderr: expect.stringMatching(/task_unknown/) });
    expect(await cli('retry-from', id, 'each')).toMatchObject({ code: 2, stderr: expect.stringMatching(/--reason/) });

    broken = false;
    expect(await cli('skip', id, 'report', '--reason', 'nobody reads it')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/report is skipped/),
    });
    expect(await cli('retry-from', id, 'each.2', '--reason', 'three is good now')).toMatchObject({ code: 0 });
    const watched = await cli('watch', id);
    expect(watched).toMatchObject({ code: 0, stdout: expect.stringMatching(/state:\s+succeeded[^]*\+ each[^]*4\/4 done[^]*\+ report/) });

    const live = JSON.parse((await cli('get', id, '-o', 'json')).stdout);
    expect(live.source).toBe('workflow');
    const raw = (await cli('history', id, '--raw')).stdout;
    const history = front.file('history.jsonl', raw);
    const { source: _, ...view } = live;
    expect(JSON.parse((await cli('replay', history, '-o', 'json')).stdout)).toEqual(view);
    expect((await cli('replay', history, '--to', '2')).stdout).toMatch(/> point/);
    expect(await cli('replay', front.file('gap.jsonl', raw.split('\n').slice(1).join('\n')))).toMatchObject({
      code: 4,
      stderr: expect.stringMatching(/does not follow 0/),
    });
    expect((await cli('history', id)).stdout).toMatch(/instance\.changed/);
    expect((await cli('analysis', id)).stdout).toMatch(/critical path:\s+point > each > last > report/);

    await until(async () => (await row('workflows', id))?.version === live.version);
    expect((await row('workflows', id))!.data).toMatchObject({ state: 'succeeded', counts: live.counts });
    expect((await row('workflows', id))!.data).not.toHaveProperty('missing');
    expect((await row('operations', id))!.data).toMatchObject({ state: 'succeeded', progress: { done: 8, total: 8 } });
    const items = await front.projector.service.pool.query(
      `select data ->> 'state' as state from read.tasks where data ->> 'of' = 'each' and data ->> 'workflowId' = $1`,
      [id],
    );
    expect(items.rows).toEqual(Array(4).fill({ state: 'succeeded' }));
  });

  it('undoes, and cancels without undoing', async () => {
    const id = await world.ask(workflow([step('a', 'alpha', { undo: true })]));
    await world.until(id, ended);
    expect(await cli('undo', id, '--reason', 'not wanted', '--wait')).toMatchObject({ code: 1, stdout: expect.stringMatching(/undone/) });
    const offered = step('b', 'beta', {
      route: { mode: 'bid', group: 'resource-allocation', windowMs: 60_000, award: 'lowest-cost', beginWithinMs: 1000, offers: 1 },
    });
    const waiting = await world.ask(workflow([step('a', 'alpha', { undo: true }), { ...offered, after: ['a'] }]));
    await world.until(waiting, (v) => v.tasks[1]?.state === 'offered');
    expect((await cli('get', waiting)).stdout).toMatch(/\? b\s+beta\.do {2}0 bids, until/);
    expect(await cli('cancel', waiting, '--no-compensate', '--reason', 'leave it', '--wait')).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/missing:\s+a/),
    });
  });

  it('answers from the read models while the workflow service is away', async () => {
    const id = await world.ask(workflow([step('a', 'alpha'), step('b', 'beta', { after: ['a'] })]));
    await world.until(id, ended);
    await until(async () => (await row('workflows', id))?.data['state'] === 'succeeded');
    await world.stop(world.workflow);
    const got = await cli('get', id, '-o', 'json');
    expect(JSON.parse(got.stdout)).toMatchObject({
      source: 'read-models',
      state: 'succeeded',
      tasks: [{ name: 'a' }, { name: 'b', dependsOn: ['a'] }],
    });
  });
});
