import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { topologyHash, type Topology } from '@chrysalis/contracts';
import { until } from '@chrysalis/testing';
import type { HypervisorDriver, MigrateRequest, MigrationProgress } from '../../driver.ts';
import { bootSpec, disk, limits, refused, SEED } from './rig.ts';
import type { Story } from './story.ts';

const VM = 'vm-0192f7a0-0000-7000-8000-00000000d15c';
const secret = '5e'.repeat(32);
/** Few enough a second that the copy can be met in its middle. */
const slow = { ...limits, maxBandwidthMiBps: 8 };

const localOf = ({ disks }: Topology): string[] => disks.filter((d) => d.pool === 'local').map((d) => d.volume);

/** Both ends of one way, and the disk that is copied on it. */
const way = async (from: HypervisorDriver, to: HypervisorDriver) => {
  const { topology } = await from.status(VM);
  const copies = { volumes: localOf(topology), secret };
  const request = { vmId: VM, topology, topologyHash: topologyHash(topology), copies };
  const { migrationAddress: address, copyAddress = '' } = await to.prepareTarget(request);
  expect(await to.prepareTarget(request)).toEqual({ migrationAddress: address, copyAddress });
  const migrate = (over: Partial<MigrateRequest> = {}) =>
    from.migrate(VM, { address, limits, copies: { ...copies, address: copyAddress }, progressEveryMs: 20, stallMs: 20_000, ...over });
  const drop = async (): Promise<void> => {
    await to.destroy(VM, { deleteVolumes: true });
    for (const volume of copies.volumes) await to.deleteVolume('local', volume);
  };
  return { migrate, drop };
};

/** A VM with a disk that one host alone sees, and one that both do: its copy fails in each way and harms nothing, and then it moves there and back. */
export const movesItsDisks = (story: Story): void => {
  let bootId = '';
  const unharmed = async (text: string): Promise<void> => {
    const { rig } = story;
    expect(await rig.a().status(VM)).toMatchObject({ state: 'running', role: 'runner', migrating: false });
    expect(await rig.bootId(rig.a(), VM)).toBe(bootId);
    await rig.leaveMark(rig.a(), VM, text);
    expect(await rig.mark(rig.a(), VM)).toBe(text);
  };
  /** It was given away, and what is left of it here goes. */
  const leaves = async (side: 'a' | 'b'): Promise<void> => {
    const { rig } = story;
    const from = rig[side]();
    await until(async () => (await from.status(VM)).state === 'postmigrate');
    const { topology } = await from.status(VM);
    await from.destroy(VM, { deleteVolumes: true });
    for (const volume of localOf(topology)) await from.deleteVolume('local', volume);
    expect(rig.localVolumes(side)).toEqual([]);
  };
  const midway = (): { seen: Promise<void>; onProgress: (p: MigrationProgress) => void } => {
    const { promise: seen, resolve } = Promise.withResolvers<void>();
    return { seen, onProgress: (p) => void (p.phase === 'disks' && p.bytesTransferred > 0 && resolve()) };
  };

  test('a VM with a disk of its host’s own, and one that both hosts see', async () => {
    const { rig, spec } = story;
    const seed = { file: join(story.saves, 'copied-seed'), sizeMiB: 1 };
    writeFileSync(seed.file, Buffer.concat([Buffer.from(`${SEED}\n`), Buffer.alloc(1024 * 1024)]).subarray(0, 1024 * 1024));
    const uuid = '5f0c3a86-3a4b-4d7e-9a43-6b8a5f0d15c0';
    await rig.a().boot({ ...bootSpec(VM, { image: spec.image, nics: [] }), uuid, pool: 'local', seed });
    await rig.guestUp(rig.a(), VM);
    await rig.a().plug(VM, disk('both', 5));
    bootId = await rig.bootId(rig.a(), VM);
    await rig.fill(rig.a(), VM, 24);
    await unharmed('first');
  }, 60_000);

  test('a target that dies in the middle of the copy: the guest goes on, with its own disk', async () => {
    const { rig } = story;
    const { migrate, drop } = await way(rig.a(), rig.b());
    const { seen, onProgress } = midway();
    const migrating = migrate({ limits: slow, onProgress });
    await seen;
    await rig.crash('b', VM);
    const outcome = await migrating;
    expect(outcome).toMatchObject({ outcome: 'failed', running: true });
    await drop();
    expect(rig.localVolumes('b')).toEqual([]);
    await unharmed('after a dead target');
  }, 60_000);

  test('a copy that is cancelled', async () => {
    const { rig } = story;
    const { migrate, drop } = await way(rig.a(), rig.b());
    const { seen, onProgress } = midway();
    const abort = new AbortController();
    const migrating = migrate({ limits: slow, onProgress, signal: abort.signal });
    await seen;
    abort.abort();
    expect(await migrating).toMatchObject({ outcome: 'failed', running: true, cause: { code: 'hypervisor.migration_cancelled' } });
    await drop();
    await unharmed('after a cancel');
  }, 60_000);

  test('a driver that is lost in the middle of the copy: whoever comes next ends it', async () => {
    const { rig } = story;
    const { migrate, drop } = await way(rig.a(), rig.b());
    const { seen, onProgress } = midway();
    const migrating = migrate({ limits: slow, onProgress }).catch((error: unknown) => error);
    await seen;
    await rig.lose('a');
    await rig.a().adopt();
    await rig.a().cancelMigration(VM);
    await migrating;
    await drop();
    await unharmed('after a lost driver');
  }, 60_000);

  test('what is no volume of the VM is not copied', async () => {
    const { rig } = story;
    const { topology } = await rig.a().status(VM);
    const request = { vmId: VM, topology, topologyHash: topologyHash(topology), copies: { volumes: ['other.qcow2'], secret } };
    await refused(rig.b().prepareTarget(request), 'hypervisor.volume_missing');
    expect([rig.b().list().includes(VM), rig.localVolumes('b')]).toEqual([false, []]);
  });

  // A simulated target goes with its driver, and the stream to it.
  if (story.kind === 'qemu')
    test('a target’s driver that is lost in the middle of the copy: it goes on, and whoever comes next continues the guest', async () => {
      const { rig } = story;
      const sides = [['a', 'b'], ['b', 'a']] as const; // prettier-ignore
      for (const [source, target] of sides) {
        const { migrate } = await way(rig[source](), rig[target]());
        const { seen, onProgress } = midway();
        await rig.leaveMark(rig[source](), VM, `lost ${target}`);
        const migrating = migrate({ limits: { ...limits, maxBandwidthMiBps: 24 }, onProgress });
        await seen;
        await rig.lose(target);
        await rig[target]().adopt();
        const outcome = await migrating;
        if (outcome.outcome !== 'completed') throw outcome.cause;
        await rig[target]().resume(VM);
        expect([await rig.bootId(rig[target](), VM), await rig.mark(rig[target](), VM)]).toEqual([bootId, `lost ${target}`]);
        await leaves(source);
      }
    }, 120_000);

  test('it moves there and back, with what was on the disk and what is written meanwhile; the disk that both see stays', async () => {
    const { rig } = story;
    const sides = [['a', 'b'], ['b', 'a']] as const; // prettier-ignore
    for (const [source, target] of sides) {
      const [from, to] = [rig[source](), rig[target]()];
      const samples: MigrationProgress[] = [];
      const { migrate } = await way(from, to);
      await rig.leaveMark(from, VM, `left ${source}`);
      const outcome = await migrate({ onProgress: (p) => void samples.push(p) });
      if (outcome.outcome !== 'completed') throw outcome.cause;
      const { resumedAtUs } = await to.resume(VM);
      expect(await rig.bootId(to, VM)).toBe(bootId);
      expect([await rig.mark(to, VM), await rig.seed(to, VM)]).toEqual([`left ${source}`, SEED]);
      await to.topology(VM);
      expect(samples[0]).toMatchObject({ phase: 'disks' });
      const sent = samples.map((p) => p.bytesTransferred);
      expect(sent).toEqual([...sent].sort((x, y) => x - y));
      expect((await outcome.statistics).transferredBytes).toBeGreaterThan(24 * 1024 * 1024);
      process.stdout.write(`${story.kind}: with a disk, downtime ${((resumedAtUs - outcome.stoppedAtUs) / 1000).toFixed(1)} ms\n`);
      await leaves(source);
    }
    await rig.a().destroy(VM, { deleteVolumes: true });
    expect(rig.localVolumes('a')).toEqual([]);
  }, 120_000);
};
