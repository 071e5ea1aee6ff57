import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { hostTasks, type OutputOf, type TaskBid, type TaskHeartbeat, type TaskOffer, type TaskReport } from '@chrysalis/contracts';
import { until } from '@chrysalis/testing';
import { offer, publishOffer, say } from '../../../agent-gateway/src/test/harness.ts';
import { Fleet } from '../test/fleet.ts';

type Stored = OutputOf<typeof hostTasks.buildImage>;
const inMs = (ms: number): string => new Date(Date.now() + ms).toISOString();

describe('bids, heartbeats and images of host agents, as processes, on the simulated driver', () => {
  let fleet: Fleet;
  const eventsOf = async <T>(workflowId: string, what: 'bid' | 'heartbeat' | 'reported'): Promise<T[]> =>
    (await fleet.world.events(fleet.gateway, `task-${workflowId}`))
      .filter((e) => e.type === `chrysalis.agent-gateway.task.${what}.v1`)
      .map((e) => e.data as T);
  const withdrawn = async (workflowId: string): Promise<boolean> => {
    const text = `select from agent_gateway.pending_tasks where dispatch ->> 'workflowId' = $1 and state <> 'pending'`;
    return ((await fleet.gateway.service.pool.query(text, [workflowId])).rowCount ?? 0) > 0;
  };
  const bidsFor = (o: TaskOffer, n: number): Promise<TaskBid[]> =>
    until(async () => {
      const bids = await eventsOf<TaskBid>(o.workflowId, 'bid');
      return bids.length >= n && bids;
    });
  const imagesOf = (hostId: string): string[] => readdirSync(join(fleet.dir, hostId, 'images')).sort();
  const fileOf = (hostId: string, image: string): Buffer => readFileSync(join(fleet.dir, hostId, 'images', `${image}.img`));
  const base = (image: string, from?: object) => ({ image, format: 'raw', sizeMiB: 8, ...(from ? { from } : {}) });
  const sha = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

  beforeAll(async () => {
    fleet = await Fleet.open();
    const pool = join(fleet.dir, 'pool');
    mkdirSync(pool, { recursive: true });
    writeFileSync(join(pool, 'seed'), Buffer.alloc(4_000_000, 'chrysalis '));
    // h1 has measured what it does: it is the cheaper one. h2 never did it.
    mkdirSync(join(fleet.dir, 'h1', 'agent'), { recursive: true });
    writeFileSync(join(fleet.dir, 'h1', 'agent', 'history.json'), JSON.stringify({ 'host.build-image': [40, 50, 60] }));
    await Promise.all(['h1', 'h2'].map((hostId) => fleet.host({ hostId, driver: 'simulated' })));
  });
  beforeEach(() => fleet.fail({}));
  afterAll(() => fleet.stop());
  const seed = { kind: 'volume', pool: 'shared', volume: 'seed', format: 'raw' };

  test('each agent bids with what it measured, and with the room that its earlier bids left', async () => {
    const first = offer();
    await publishOffer(fleet.gateway, first);
    const bids = await bidsFor(first, 2);
    const [h1, h2] = ['h1', 'h2'].map((h) => bids.find((b) => b.executor === `host:${h}`)!);
    expect([h1, h2]).toMatchObject([
      { free: 4, ready: true },
      { free: 4, ready: true },
    ]);
    expect(h1!.cost).toBeLessThan(h2!.cost);
    expect(h1!.cost).toBeGreaterThanOrEqual(50);

    const more = Array.from({ length: 10 }, (_, i) => offer({ task: `t-${i}` }));
    for (const o of more) await publishOffer(fleet.gateway, o);
    const h1Bids = await until(async () => {
      const all = (await Promise.all(more.map((o) => eventsOf<TaskBid>(o.workflowId, 'bid')))).flat();
      const mine = all.filter((b) => b.executor === 'host:h1');
      return mine.length === 7 && mine;
    });
    // Of a capacity of 4 one was promised before: three more have room, four stand in line, and for the others it says nothing.
    expect(h1Bids.map((b) => b.ready).sort()).toEqual([false, false, false, false, true, true, true]);
    await fleet.kill('h1');
    await fleet.start('h1');
  });

  test('an award is begun by a heartbeat, kept up by more, done once however often it comes', async () => {
    fleet.fail({ 'task:host.build-image:after': { action: 'delay', ms: 900 } });
    const dispatch = await fleet.begin(hostTasks.buildImage, 'h1', base('kept', seed), { beginBy: inMs(5_000), heartbeatMs: 300 });
    await fleet.begin(hostTasks.buildImage, 'h1', dispatch.input, dispatch);
    const outcome = await fleet.reported(dispatch);
    expect(outcome).toMatchObject({ ok: true, output: { hostId: 'h1', image: 'kept', sizeMiB: 8, bytes: 8 * 1_048_576 } });
    const beats = await eventsOf<TaskHeartbeat>(dispatch.workflowId, 'heartbeat');
    expect(beats.length).toBeGreaterThanOrEqual(4);
    const lastedMs = Date.parse(beats.at(-1)!.at) - Date.parse(beats[0]!.at);
    expect(beats.length).toBeLessThanOrEqual(2 + lastedMs / 50); // some three of them within 300 ms
    expect(beats[0]).toMatchObject({ executor: 'host:h1', token: dispatch.token, attempt: 1 });
    expect((outcome as unknown as { output: Stored }).output.digest).toBe(sha(fileOf('h1', 'kept')));
    const reports = await fleet.world.events(fleet.gateway, `task-${dispatch.workflowId}`);
    expect(reports.filter((e) => e.type.includes('reported'))).toHaveLength(1);
  });

  test('an agent that slept through its award does not begin it, and says so', async () => {
    const child = fleet.agents.get('h2')!;
    child.kill('SIGSTOP');
    const dispatch = await fleet.begin(hostTasks.buildImage, 'h2', base('slept', seed), { beginBy: inMs(700) });
    await new Promise((done) => setTimeout(done, 1_000));
    child.kill('SIGCONT');
    expect(await fleet.reported(dispatch)).toMatchObject({ ok: false, cause: { code: 'task.award_lapsed' } });
    expect(imagesOf('h2')).not.toContain('slept.img');
    expect(await eventsOf(dispatch.workflowId, 'heartbeat')).toEqual([]);
  });

  test('what is withdrawn stops, leaves nothing, and what was not begun does not begin', async () => {
    fleet.fail({ 'host:image:made': { action: 'delay', ms: 600 }, 'task:host.build-image:before': { action: 'delay', ms: 600 } });
    const first = await fleet.begin(hostTasks.buildImage, 'h1', base('gone', seed), { heartbeatMs: 1_000 });
    await until(async () => (await eventsOf(first.workflowId, 'heartbeat')).length > 0);
    const behind = await fleet.begin(hostTasks.removeImage, 'h1', { image: 'gone' });
    // The one that waits first: else it may begin, and be through, between the end of the other and the word that it is not wanted either.
    for (const { workflowId, task, attempt, executor } of [behind, first]) {
      await say(fleet.gateway, 'chrysalis.workflow.task.failed.v1', {
        ...{ workflowId, task, attempt, executor, final: true },
        cause: { code: 'workflow.heartbeat_missed', message: 'x' },
      } as { workflowId: string });
      await until(async () => (await withdrawn(workflowId)) || (await eventsOf(workflowId, 'reported')).length > 0);
    }
    expect(await fleet.reported(first)).toMatchObject({ ok: false, cause: { code: 'task.cancelled' } });
    expect(imagesOf('h1').filter((f) => f.includes('gone'))).toEqual([]);
    // Withdrawn before it was delivered it has no report; one that had begun would be through before what came after it.
    expect(await fleet.must(hostTasks.removeImage, 'h1', { image: 'gone' })).toEqual({ removed: false });
    for (const report of await eventsOf<TaskReport>(behind.workflowId, 'reported'))
      expect(report.outcome).toMatchObject({ ok: false, cause: { code: 'task.cancelled' } });
  });

  test('an image twice is once; of another shape it is refused; an undo takes only what its own workflow made', async () => {
    const made = await fleet.begin(hostTasks.buildImage, 'h1', base('one', seed));
    expect(await fleet.reported(made)).toMatchObject({ ok: true });
    const digest = sha(fileOf('h1', 'one'));
    expect(await fleet.must(hostTasks.buildImage, 'h1', base('one', seed))).toMatchObject({ digest });
    expect(await fleet.run(hostTasks.buildImage, 'h1', { ...base('one', seed), sizeMiB: 16 })).toMatchObject({
      ok: false,
      cause: { code: 'host.image_conflict' },
    });
    const undo = { action: 'compensate' as const };
    expect(await fleet.must(hostTasks.removeImage, 'h1', { image: 'one' }, undo)).toEqual({ removed: false });
    for (const removed of [true, false])
      expect(await fleet.must(hostTasks.removeImage, 'h1', { image: 'one' }, { ...undo, workflowId: made.workflowId })).toEqual({
        removed,
      });
    expect(imagesOf('h1').filter((f) => f.startsWith('one'))).toEqual([]);
  });

  test.each([
    ['a source that is not there', base('bad', { kind: 'image', image: 'nothing' }), 'host.image_unknown'],
    ['a pool that is not there', base('bad', { ...seed, pool: 'ghost' }), 'hypervisor.pool_unknown'],
    ['a name that leads out of the pool', base('bad', { ...seed, volume: '..' }), 'hypervisor.volume_missing'],
    ['a path as a name', { ...base('bad'), image: '../bad' }, 'executor.input_invalid'],
    ['less room than the source has', { ...base('bad', seed), sizeMiB: 1 }, 'host.image_too_small'],
    ['a format it cannot make', { ...base('bad'), format: 'qcow2' }, 'host.format_unsupported'],
  ])('%s is a failure with its code, and leaves nothing', async (_, input, code) => {
    expect(await fleet.run(hostTasks.buildImage, 'h1', input)).toMatchObject({ ok: false, cause: { code } });
    expect(imagesOf('h1').filter((f) => f.includes('bad'))).toEqual([]);
  });

  test.each(['task:host.build-image:before', 'host:image:made', 'host:image:renamed', 'task:host.build-image:after'])(
    'an agent killed at %s builds the image when it is back, once, and no half one is ever seen',
    async (point) => {
      const image = `killed-${point.split(':').at(-1)!}`;
      fleet.fail({ [point]: { action: 'exit', where: { hostId: 'h1' } } });
      const dispatch = await fleet.begin(hostTasks.buildImage, 'h1', base(image, seed));
      await fleet.ended('h1');
      fleet.fail({});
      await fleet.start('h1');
      expect(await fleet.reported(dispatch)).toMatchObject({ ok: true, output: { digest: sha(fileOf('h1', image)) } });
      expect(imagesOf('h1').filter((f) => f.includes(image))).toEqual([`${image}.img`, `${image}.json`]);
    },
  );

  test('an image goes from host to host, whole, also where the link breaks and the source is started anew', async () => {
    const { digest } = await fleet.must(hostTasks.buildImage, 'h1', base('moved', seed));
    fleet.fail({ 'host:image:serve': { action: 'exit', where: { hostId: 'h1', chunk: '9' } } });
    const dispatch = await fleet.begin(hostTasks.transferImage, 'h2', { image: 'moved', digest, fromHost: 'h1' });
    await fleet.ended('h1'); // after some 2 MiB
    fleet.fail({});
    await fleet.start('h1');
    const outcome = await fleet.reported(dispatch);
    expect(outcome).toMatchObject({ ok: true, output: { hostId: 'h2', image: 'moved', digest, sizeMiB: 8 } });
    expect(sha(fileOf('h2', 'moved'))).toBe(digest);
    expect(imagesOf('h2').filter((f) => f.includes('moved'))).toEqual(['moved.img', 'moved.json']);
    expect(await fleet.must(hostTasks.transferImage, 'h2', { image: 'moved', digest, fromHost: 'h1' })).toMatchObject({ digest });
  });

  test('content of another digest is not taken, and an image that the source lacks is said', async () => {
    const { digest } = await fleet.must(hostTasks.buildImage, 'h1', base('rotten', seed));
    const path = join(fleet.dir, 'h1', 'images', 'rotten.img');
    const bytes = readFileSync(path);
    bytes[100] = 1;
    writeFileSync(path, bytes);
    const corrupt = { image: 'rotten', digest, fromHost: 'h1' };
    expect(await fleet.run(hostTasks.transferImage, 'h2', corrupt)).toMatchObject({ ok: false, cause: { code: 'host.image_corrupt' } });
    const missing = { image: 'no-such', digest, fromHost: 'h1' };
    expect(await fleet.run(hostTasks.transferImage, 'h2', missing)).toMatchObject({ ok: false, cause: { code: 'host.image_unknown' } });
    expect(imagesOf('h2').filter((f) => f.includes('rotten') || f.includes('no-such'))).toEqual([]);
    expect(existsSync(path)).toBe(true);
  });
});
