import { expect, test } from '@jest/globals';
import { diskSerial, volumeFile, type Device } from '@chrysalis/contracts';
import { MOVED, refused } from './rig.ts';
import type { Story } from './story.ts';

const id = 'volume-0199c0de-0000-7000-8000-0000000000d1';
const spec = { pool: 'shared', volume: volumeFile(id), format: 'qcow2' as const, sizeMiB: 16 };
const disk: Device = { kind: 'disk', id, port: 6, serial: diskSerial(id), readOnly: false, ...spec };

/** Volumes that are resources of their own: made before they are plugged, never along with it, and left by their VM. */
export const hasVolumes = (story: Story): void => {
  test('a volume is made once, grows, never shrinks, and is deleted; what is so already is done', async () => {
    const { rig } = story;
    const first = await rig.a().createVolume(spec);
    expect(first.shared).toBe(true);
    expect(await rig.a().createVolume(spec)).toEqual(first);
    expect((await rig.b().createVolume(spec)).shared).toBe(true); // the pool is one
    await refused(rig.a().createVolume({ ...spec, sizeMiB: 17 }), 'hypervisor.volume_conflict');
    await refused(rig.a().createVolume({ ...spec, pool: 'elsewhere' }), 'hypervisor.pool_unknown');
    for (const _ of [1, 2]) await rig.b().growVolume({ ...spec, sizeMiB: 24 });
    await refused(rig.a().growVolume(spec), 'hypervisor.disk_shrink_refused');
    await refused(rig.a().createVolume(spec), 'hypervisor.volume_conflict');
    for (const _ of [1, 2]) await rig.a().deleteVolume(spec.pool, spec.volume);
    await refused(rig.a().growVolume(spec), 'hypervisor.volume_missing');
  }, 30_000);

  test('one that is not there is not plugged; one that is has one VM; that VM’s end leaves it', async () => {
    const { rig, spec: vm } = story;
    const before = await rig.a().topology(MOVED);
    await refused(rig.a().plug(MOVED, disk), 'hypervisor.volume_missing');
    await rig.a().createVolume(spec);
    await refused(rig.a().plug(MOVED, { ...disk, sizeMiB: 17 } as Device), 'hypervisor.volume_conflict');
    expect(await rig.a().topology(MOVED)).toEqual(before);
    const other = { ...vm, vmId: 'vm-0192f7a0-0000-7000-8000-0000000000fd', uuid: '5f0c3a86-3a4b-4d7e-9a43-6b8a5f0d6afd', nics: [] };
    await rig.b().boot({ ...other, spec: { ...other.spec, nics: [] } });
    const plugged = await rig.a().plug(MOVED, disk);
    expect(await rig.a().plug(MOVED, disk)).toEqual(plugged);
    await refused(rig.b().plug(other.vmId, disk), 'hypervisor.volume_locked');
    await refused(rig.a().deleteVolume(spec.pool, spec.volume), 'hypervisor.volume_in_use');
    await refused(rig.b().deleteVolume(spec.pool, spec.volume), 'hypervisor.volume_locked');
    await refused(rig.b().growVolume({ ...spec, sizeMiB: 32 }), 'hypervisor.volume_locked');
    const grown = await rig.a().resizeDisk(MOVED, id, 32);
    expect(grown.topology.disks.find((d) => d.id === id)?.sizeMiB).toBe(32);
    expect(await rig.a().unplug(MOVED, { kind: 'disk', id }, 15_000)).toEqual(before);

    // Off, it is given, grown and taken for the next start, and the VM is deleted without it.
    await rig.b().halt(other.vmId);
    const bigger = { ...disk, sizeMiB: 32 };
    for (const _ of [1, 2]) expect((await rig.b().plug(other.vmId, bigger)).topology.disks.at(-1)?.id).toBe(id);
    expect((await rig.b().resizeDisk(other.vmId, id, 48)).topology.disks.at(-1)?.sizeMiB).toBe(48);
    await refused(rig.b().resizeDisk(other.vmId, id, 32), 'hypervisor.disk_shrink_refused');
    for (const _ of [1, 2]) expect((await rig.b().unplug(other.vmId, { kind: 'disk', id }, 1_000)).topology.disks).toHaveLength(1);
    const there = await rig.b().plug(other.vmId, { ...disk, sizeMiB: 48 });
    expect(await rig.b().start(other.vmId)).toEqual(there);
    await refused(rig.a().plug(MOVED, { ...disk, sizeMiB: 48 }), 'hypervisor.volume_locked');
    await rig.b().destroy(other.vmId, { deleteVolumes: true });
    await rig.a().plug(MOVED, { ...disk, sizeMiB: 48 });
    expect(await rig.a().unplug(MOVED, { kind: 'disk', id }, 15_000)).toEqual(before);
    await rig.a().deleteVolume(spec.pool, spec.volume);
  }, 120_000);
};
