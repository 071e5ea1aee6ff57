import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { LocalKinds } from '../local/local.ts';
import { partitionOf } from '../../../../libs/messaging/src/embedded/bus.ts';
import { v7 as uuidv7 } from 'uuid';
import { step, workflow } from '../test/definitions.ts';
import { ended, World } from '../test/world.ts';
import { Durations } from './durations.ts';

describe('durations of earlier runs', () => {
  let world: World;
  /** What the local kind `test.work` does. */
  let work = async (_attempt: number): Promise<void> => undefined;
  const kinds: LocalKinds = {
    'test.work': async (_, { dispatch }) => {
      await work(dispatch.attempt);
      return { ok: true, output: { by: dispatch.attempt } };
    },
  };
  beforeAll(async () => {
    world = await World.started(kinds);
  });
  afterAll(() => world.close());

  const counts = async () =>
    (
      await world.workflow.service.pool.query<{ name: string; task: string; n: number }>(
        `select name, task, sum(count)::int as n from workflow.durations group by 1, 2 order by 1, 2`,
      )
    ).rows.map((r) => `${r.name}/${r.task} ${r.n}`);
  const allCounted = async () => {
    const durations = new Durations(world.workflow.service);
    for (let quiet = 0; quiet < 3; await sleep(50)) quiet = (await durations.count()) === 0 ? quiet + 1 : 0;
  };

  it('are counted once each, by task and by kind, however many count at the same time', async () => {
    const list = [1, 2, 3, 4];
    const definition = workflow(
      [
        step('a', 'alpha'),
        step('each', 'beta', { after: ['a'], forEach: { items: '${params.list}', concurrency: 2 }, input: { n: '${item}' } }),
        step('skipped', 'beta', { when: 'params.list.size() > 100' }),
      ],
      { name: 'counted', params: { list: { type: 'array' } } },
    );
    const ids = await Promise.all([1, 2, 3].map(() => world.ask(definition, { list })));
    const counters = [1, 2, 3, 4].map(() => new Durations(world.workflow.service));
    for (const id of ids) {
      await Promise.all(counters.map((c) => c.count(7)));
      expect((await world.until(id, ended)).state).toBe('succeeded');
    }
    await allCounted();
    expect(await counts()).toEqual(['/alpha.do 3', '/beta.do 12', 'counted/a 3', 'counted/each 3', 'counted/each.* 12']);
    const analysis = await world.get<{ tasks: { name: string; by: string; items?: object }[] }>(`/v1/workflows/${ids[0]}/analysis`);
    expect(analysis.body.tasks.map((t) => [t.name, t.by])).toEqual(
      expect.arrayContaining([
        ['a', 'run'],
        ['each', 'run'],
        ['skipped', 'run'],
      ]),
    );
    expect((await world.get('/v1/workflows/op-nothing/analysis')).status).toBe(404);
  });

  it('say when a task takes longer than usual: a second execution wins, and the slow one is not believed', async () => {
    let slow = false;
    let ran = 0;
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    work = async (attempt) => {
      ran++;
      if (slow && attempt === 1) await opened;
      else await sleep(60);
    };
    const task = step('a', 'alpha', {
      kind: 'test.work',
      idempotent: true,
      hedge: { factor: 3 },
      route: { mode: 'group', group: 'workflow' },
    });
    const hedged = workflow([task], { name: 'hedged', output: { by: '${tasks.a.output.by}' } });
    // Without a hedge nobody asks what is usual, and so nobody keeps that it is not known yet.
    const { hedge: _, ...alone } = task;
    const usual = workflow([alone], { name: 'usual', output: { by: '${tasks.a.output.by}' } });
    for (let i = 0; i < 12; i++) await world.until(await world.ask(usual), ended);
    await allCounted();
    [slow, ran] = [true, 0];
    const begun = Date.now();
    const id = await world.ask(hedged);
    const view = await world.until(id, ended);
    expect(view).toMatchObject({ state: 'succeeded', output: { by: 2 } });
    expect(Date.now() - begun).toBeLessThan(20_000); // its deadline is at 30 s
    expect(view.tasks[0]!.attempts).toMatchObject([
      { attempt: 1, settled: { ok: false, cause: { code: 'workflow.superseded' } } },
      { attempt: 2, hedge: true, settled: { ok: true } },
    ]);
    open();
    await sleep(500);
    const after = await world.until(id, ended);
    expect(after).toMatchObject({ output: { by: 2 }, streamVersion: view.streamVersion });
    expect(ran).toBe(2);
  });

  it('the same where a service of its own executes, which takes the tasks of a workflow in their order', async () => {
    let slow = false;
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    world.behaviour = async (_, { dispatch }) => {
      await (slow && dispatch.attempt === 1 ? opened : sleep(60));
      return { ok: true, output: { by: dispatch.attempt } };
    };
    const hedged = workflow([step('a', 'beta', { idempotent: true, hedge: { factor: 2, afterMs: 500 } })], {
      name: 'hedged-there',
      output: { by: '${tasks.a.output.by}' },
    });
    slow = true;
    // Two keys may be in one partition, and then the second execution waits: here they are not.
    let id = `op-${uuidv7()}`;
    while (partitionOf(`workflow-${id}`, 6) === partitionOf(`workflow-${id}#hedge`, 6)) id = `op-${uuidv7()}`;
    await world.ask(hedged, {}, id);
    const view = await world.until(id, ended).finally(open);
    expect(view).toMatchObject({ state: 'succeeded', output: { by: 2 } });
    await sleep(500);
    expect((await world.until(id, ended)).streamVersion).toBe(view.streamVersion);
  });
});
