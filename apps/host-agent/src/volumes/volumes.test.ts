import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { diskSerial, guestTasks, hostTasks, volumeFile, volumeHostTasks as tasks, type TaskContract } from '@chrysalis/contracts';
import { digest } from '../test/fixtures.ts';
import { Fleet } from '../test/fleet.ts';

const spec = {
  vcpus: { now: 1, max: 2 },
  memoryMiB: { now: 512, max: 1024 },
  disks: [{ id: 'data', sizeMiB: 16 }],
  nics: [],
  cpuModel: 'Westmere',
  requiredTraits: [],
};
const image = { name: 'linux', version: 1, digest: digest('a'), cmdline: '' };

describe('volumes by host agents, as processes, on the simulated driver', () => {
  let fleet: Fleet;
  const boot = async (vmId: string, hostId: string) => {
    await fleet.must(hostTasks.bootVm, hostId, {
      ...{ vmId, epoch: 1, uuid: randomUUID(), tenant: 'acme', spec, image, nics: [], pool: 'shared', waitForGuest: true },
    });
    return { vmId, epoch: 1 };
  };
  const volume = () => {
    const id = `volume-${randomUUID()}`;
    const file = { pool: 'shared', volume: volumeFile(id) };
    return { id, file, disk: { id, serial: diskSerial(id), sizeMiB: 16, format: 'qcow2', readOnly: false, ...file } };
  };
  const made = async () => {
    const v = volume();
    await fleet.must(tasks.createVolume, 'h1', { ...v.file, sizeMiB: 16 });
    return v;
  };
  const fails = async (contract: TaskContract, hostId: string, input: Record<string, unknown>, code: string) =>
    expect(await fleet.run(contract, hostId, input)).toMatchObject({ ok: false, cause: { code } });

  beforeAll(async () => {
    fleet = await Fleet.open();
    for (const hostId of ['h1', 'h2']) await fleet.host({ hostId, driver: 'simulated' });
  });
  beforeEach(() => fleet.fail({}));
  afterAll(() => fleet.stop());

  test('made on one host, had by a VM of another, seen in its guest, grown, left as it is used, let go, and deleted', async () => {
    const { id, file, disk } = await made();
    const on = await boot('vm-has', 'h2');
    for (const _ of [1, 2]) {
      const { topology, seen } = await fleet.must(tasks.attachVolume, 'h2', { ...on, disk });
      expect([topology.disks.at(-1), seen]).toEqual([{ ...disk, port: 1 }, true]);
    }
    const other = await boot('vm-other', 'h1');
    await fails(tasks.attachVolume, 'h1', { ...other, disk }, 'hypervisor.volume_locked');
    for (const hostId of ['h1', 'h2']) await fails(tasks.deleteVolume, hostId, file, hostId === 'h1' ? 'hypervisor.volume_locked' : 'hypervisor.volume_in_use'); // prettier-ignore
    expect(await fleet.must(tasks.growAttachedVolume, 'h2', { ...on, disk: id, sizeMiB: 32 })).toMatchObject({ seen: true });
    await fails(tasks.growAttachedVolume, 'h2', { ...on, disk: id, sizeMiB: 16 }, 'hypervisor.disk_shrink_refused');

    const jws = await fleet.grant(['vm-has'], [digest('b')]);
    await fleet.must(hostTasks.addAgent, 'h2', { ...on, grant: jws, package: digest('b') });
    const script = (text: string) =>
      fleet.must(guestTasks.runScript, 'h2', { ...on, script: text, timeoutMs: 5_000, maxOutputBytes: 1024 });
    await script(`mount ${disk.serial}`);
    await fails(tasks.detachVolume, 'h2', { ...on, disk: id, force: false }, 'host.guest_uses_volume');
    await script(`umount ${disk.serial}`);
    for (const _ of [1, 2]) {
      const { topology } = await fleet.must(tasks.detachVolume, 'h2', { ...on, disk: id, force: false });
      expect(topology.disks.map((d) => d.id)).not.toContain(id);
    }
    await fleet.must(tasks.growVolume, 'h1', { ...file, sizeMiB: 64 });
    await fails(tasks.growVolume, 'h2', { ...file, sizeMiB: 32 }, 'hypervisor.disk_shrink_refused');
    await fleet.must(tasks.attachVolume, 'h1', { ...other, disk: { ...disk, sizeMiB: 64 } });
    await fleet.must(hostTasks.destroyVm, 'h1', { ...other, deleteVolumes: true });
    expect(JSON.parse(readFileSync(join(fleet.dir, 'pool', file.volume), 'utf8'))).toEqual({ sizeMiB: 64 });
    for (const _ of [1, 2]) await fleet.must(tasks.deleteVolume, 'h2', file);
  });

  test('a VM that is off is given a volume, loses it and starts with it; nobody is asked in it', async () => {
    const { id, disk } = await made();
    const on = await boot('vm-off', 'h1');
    await fleet.must(hostTasks.stopVm, 'h1', { ...on, modes: ['guest-agent'], timeoutMs: 5_000 });
    expect(await fleet.must(tasks.attachVolume, 'h1', { ...on, disk })).not.toHaveProperty('seen');
    await fleet.must(tasks.detachVolume, 'h1', { ...on, disk: id, force: false });
    const { topologyHash } = await fleet.must(tasks.attachVolume, 'h1', { ...on, disk });
    expect(await fleet.must(hostTasks.startVm, 'h1', on)).toMatchObject({ topologyHash });
  });

  test('what is not there is not attached, and nothing is left of the try', async () => {
    const { id, disk } = volume();
    const on = await boot('vm-none', 'h1');
    await fails(tasks.attachVolume, 'h1', { ...on, disk }, 'hypervisor.volume_missing');
    await fails(tasks.attachVolume, 'h1', { ...on, epoch: 2, disk }, 'host.epoch_ahead');
    await fails(tasks.attachVolume, 'h2', { ...on, disk }, 'host.vm_unknown');
    await fleet.must(tasks.detachVolume, 'h1', { ...on, disk: id, force: true });
  });
});
