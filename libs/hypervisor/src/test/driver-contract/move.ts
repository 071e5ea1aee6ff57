import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { topologyHash, type HypervisorCode } from '@chrysalis/contracts';
import { until } from '@chrysalis/testing';
import type { MigrateOutcome } from '../../driver.ts';
import { MOVED, nic, limits, refused } from './rig.ts';
import { topologyOf, expectItRunsOn, untilMigrating, listen, type Story } from './story.ts';

/** A target that waits for the stream, asked for twice: where it listens. */
const prepare = async ({ rig }: Story): Promise<string> => {
  const topology = await topologyOf(rig.a());
  const request = { vmId: MOVED, topology, topologyHash: topologyHash(topology) };
  const { migrationAddress } = await rig.b().prepareTarget(request);
  expect(await rig.b().prepareTarget(request)).toEqual({ migrationAddress });
  expect(await rig.b().status(MOVED)).toMatchObject({ role: 'incoming', state: 'inmigrate', running: false });
  return migrationAddress;
};
const expectSourceRuns = async (story: Story, result: MigrateOutcome, code: HypervisorCode): Promise<void> => {
  expect(result).toMatchObject({ outcome: 'failed', running: true, cause: { code } });
  await expectItRunsOn(story);
};

/** A VM fails to move and runs on; it moves with what was plugged, and is the same guest. */
export const moves = (story: Story): void => {
  test('a target of another shape than was hashed is refused, and none is started', async () => {
    const { rig } = story;
    const t = await topologyOf(rig.a());
    const other = { ...t, vcpus: { ...t.vcpus, max: 8 } };
    await refused(rig.b().prepareTarget({ vmId: MOVED, topology: other, topologyHash: topologyHash(t) }), 'hypervisor.topology_mismatch');
    expect(rig.b().list()).toEqual([]);
  });

  test('a migration to nowhere fails and the source runs on', async () => {
    const { rig } = story;
    await expectSourceRuns(story, await rig.a().migrate(MOVED, { address: rig.nowhere, limits }), 'hypervisor.migration_failed');
  }, 20_000);

  test('a target that dies under the stream fails the migration, and the source runs on', async () => {
    const { rig } = story;
    const address = await prepare(story);
    const migrating = rig.a().migrate(MOVED, { address, limits: { ...limits, maxBandwidthMiBps: 20 }, progressEveryMs: 20 });
    await untilMigrating(rig.a(), MOVED);
    await refused(rig.a().plug(MOVED, nic('back', 5)), 'hypervisor.migrating');
    await rig.crash('b', MOVED);
    await expectSourceRuns(story, await migrating, 'hypervisor.migration_failed');
    expect(await rig.b().status(MOVED)).toMatchObject({ state: 'gone', running: false });
    await refused(rig.b().resume(MOVED), 'hypervisor.not_ready');
    await rig.b().destroy(MOVED, { deleteVolumes: true });
    expect(rig.b().list()).toEqual([]);
  }, 30_000);

  test('a cancelled migration leaves the source running', async () => {
    const { rig } = story;
    const address = await prepare(story);
    const slow = { address, limits: { ...limits, maxBandwidthMiBps: 20 }, progressEveryMs: 20 };
    const migrating = rig.a().migrate(MOVED, slow);
    await untilMigrating(rig.a(), MOVED);
    await rig.a().cancelMigration(MOVED);
    await expectSourceRuns(story, await migrating, 'hypervisor.migration_cancelled');
    await rig.b().destroy(MOVED, { deleteVolumes: true });
  }, 30_000);

  test('a resume before the stream is in is refused, and so is a save', async () => {
    const { rig, saves } = story;
    await prepare(story);
    await refused(rig.b().resume(MOVED), 'hypervisor.not_ready');
    await refused(
      rig.b().saveState(MOVED, { downtimeLimitMs: 300, maxPauseMs: 5_000, deadlineMs: 30_000, file: join(saves, 'target') }),
      'hypervisor.not_ready',
    );
    await rig.b().destroy(MOVED, { deleteVolumes: true });
  }, 30_000);

  test('a source that was given away can be taken back while nobody runs', async () => {
    const { rig, bootId } = story;
    const result = await rig.a().migrate(MOVED, { address: await prepare(story), limits });
    expect(result.outcome).toBe('completed');
    await rig.b().destroy(MOVED, { deleteVolumes: true });
    expect((await rig.a().status(MOVED)).running).toBe(false);
    await rig.a().reclaim(MOVED);
    expect(await rig.a().status(MOVED)).toMatchObject({ state: 'running', role: 'runner' });
    expect(await rig.bootId(rig.a(), MOVED)).toBe(bootId);
    await refused(rig.a().reclaim(MOVED), 'hypervisor.not_ready');
  }, 30_000);

  test('moves with what was plugged while it ran; the target waits to be resumed', async () => {
    const { rig, bootId } = story;
    const address = await prepare(story);
    const phases: number[] = [];
    const onProgress = (p: { bytesRemaining: number }): void => void phases.push(p.bytesRemaining);
    const heard = [listen(rig.a()), listen(rig.b())];
    const result = await rig.a().migrate(MOVED, { address, limits, onProgress, progressEveryMs: 20, stallMs: 20_000 });
    if (result.outcome !== 'completed') throw result.cause;
    await until(async () => (await rig.a().status(MOVED)).state === 'postmigrate'); // which QEMU says a moment after its end
    expect((await rig.b().status(MOVED)).state).toBe('paused');
    for (const end of [rig.a(), rig.b()]) expect((await end.status(MOVED)).observed).toBeUndefined();

    const { resumedAtUs } = await rig.b().resume(MOVED);
    const downtimeMs = (resumedAtUs - result.stoppedAtUs) / 1000;
    expect(downtimeMs).toBeGreaterThanOrEqual(0);
    expect(downtimeMs).toBeLessThan(10_000);
    expect(await rig.b().resume(MOVED)).toEqual({ resumedAtUs });
    expect(await rig.b().status(MOVED)).toMatchObject({ observed: { state: 'running' } });
    const news = heard.flatMap((h) => (h.stop(), h.of(MOVED))).filter(([kind, , migrating]) => kind !== 'resumed' && !migrating);
    expect(news).toEqual([]); // a stop at a switch-over is none of the guest's
    const statistics = await result.statistics;
    expect(statistics.transferredBytes).toBeGreaterThan(1_000_000);
    expect(phases.length).toBeGreaterThan(0);
    process.stdout.write(`${story.kind}: downtime ${downtimeMs.toFixed(1)} ms, whole migration ${statistics.totalMs} ms\n`);

    const { topology } = await rig.b().topology(MOVED);
    expect(topology.vcpus.plugged).toEqual([{ id: 'cpu1', coreId: 1 }]);
    expect(topology.memory.dimms).toEqual([{ id: 'dimm1', sizeMiB: 128 }]);
    expect(await rig.bootId(rig.b(), MOVED)).toBe(bootId);
  }, 60_000);

  test('the source that was left goes without the disks it no longer owns', async () => {
    const { rig } = story;
    await rig.a().destroy(MOVED, { deleteVolumes: true });
    await rig.a().destroy(MOVED, { deleteVolumes: true });
    expect(rig.a().list()).toEqual([]);
    expect(await rig.b().status(MOVED)).toMatchObject({ state: 'running', role: 'runner' });
    // It moves back: its disks are there.
    const topology = await topologyOf(rig.b());
    await rig.a().prepareTarget({ vmId: MOVED, topology, topologyHash: topologyHash(topology) });
    await rig.a().destroy(MOVED, { deleteVolumes: false });
  }, 30_000);
};
