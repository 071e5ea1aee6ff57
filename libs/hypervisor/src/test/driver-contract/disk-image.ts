import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { bootImage, limits, SEED, uefiImage } from './rig.ts';
import type { Story } from './story.ts';

/** A VM of an image that is a disk has a root disk of its own, boots from it here and elsewhere, and takes it along when it goes. */
export const bootsFromDisk = (story: Story): void => {
  test('boots from a copy of its image, which it keeps over a stop, a reset and a move, and which goes with it', async () => {
    const { rig, spec } = story;
    const vmId = 'vm-0192f7a0-0000-7000-8000-0000000000d1';
    const own = { ...spec, vmId, uuid: '5f0c3a86-3a4b-4d7e-9a43-6b8a5f0d6ad1', image: bootImage, nics: [] };
    const others = rig.volumes();
    const shaped = await rig.a().boot({ ...own, spec: { ...spec.spec, nics: [] } });
    expect(shaped.topology.disks).toMatchObject([
      { id: 'root', port: 0, sizeMiB: 1, format: 'qcow2', pool: 'shared' },
      { id: 'data', port: 1 },
    ]);
    await rig.boots(rig.a(), vmId, 1);
    const { boot } = shaped.topology.vcpus;
    const more = await rig.a().plug(vmId, { kind: 'cpu', id: `cpu${boot}`, coreId: boot });
    await rig.a().halt(vmId);
    expect(await rig.a().start(vmId, { vcpus: boot + 1 })).toEqual(more);
    await rig.boots(rig.a(), vmId, 2);
    await rig.a().halt(vmId);
    expect(await rig.a().start(vmId, { vcpus: boot })).toEqual(shaped); // what could not be unplugged goes at a start
    await rig.boots(rig.a(), vmId, 3);

    const { migrationAddress: address } = await rig.b().prepareTarget({ vmId, ...shaped });
    expect((await rig.a().migrate(vmId, { address, limits })).outcome).toBe('completed');
    await rig.b().resume(vmId);
    await rig.a().destroy(vmId, { deleteVolumes: true });
    expect(await rig.b().topology(vmId)).toEqual(shaped);
    await rig.b().pressReset(vmId);
    await rig.boots(rig.b(), vmId, 4);
    expect(rig.volumes()).toHaveLength(others.length + 2);
    await rig.b().destroy(vmId, { deleteVolumes: true });
    expect(rig.volumes()).toEqual(others);
  });

  test('boots by UEFI, whose variables it keeps over a stop, a reset and a move, and which go with it', async () => {
    const { rig, spec } = story;
    const vmId = 'vm-0192f7a0-0000-7000-8000-0000000000d3';
    const own = { ...spec, vmId, uuid: '5f0c3a86-3a4b-4d7e-9a43-6b8a5f0d6ad3', image: uefiImage, nics: [] };
    const others = rig.volumes();
    const shaped = await rig.a().boot({ ...own, spec: { ...spec.spec, nics: [], disks: [] } });
    expect((await rig.a().facts()).firmware).toEqual(['bios', 'uefi']);
    expect(shaped.topology).toMatchObject({ disks: [{ id: 'root' }], uefi: { pool: 'shared', volume: `${vmId}.uefi.fd` } });
    const made = rig.volumes().filter((v) => !others.includes(v)).map((v) => v.slice(v.indexOf(vmId))); // prettier-ignore
    expect(made).toEqual([`${vmId}.root.qcow2`, `${vmId}.uefi.fd`]);
    await rig.boots(rig.a(), vmId, 1);
    await rig.a().halt(vmId);
    expect(await rig.a().start(vmId)).toEqual(shaped);
    await rig.boots(rig.a(), vmId, 2);
    await rig.lose('a');
    await rig.a().adopt();
    expect(await rig.a().topology(vmId)).toEqual(shaped);

    const { migrationAddress: address } = await rig.b().prepareTarget({ vmId, ...shaped });
    expect((await rig.a().migrate(vmId, { address, limits })).outcome).toBe('completed');
    await rig.b().resume(vmId);
    await rig.a().destroy(vmId, { deleteVolumes: true });
    expect(await rig.b().topology(vmId)).toEqual(shaped);
    await rig.b().pressReset(vmId);
    await rig.boots(rig.b(), vmId, 3);
    await rig.b().halt(vmId);
    await rig.b().start(vmId);
    await rig.boots(rig.b(), vmId, 4);
    await rig.b().destroy(vmId, { deleteVolumes: true });
    expect(rig.volumes()).toEqual(others);
  }, 180_000);

  test('its type says how large its root disk is, where it has one', async () => {
    const { rig, spec } = story;
    const vmId = 'vm-0192f7a0-0000-7000-8000-0000000000d2';
    const disks = [
      { id: 'data', sizeMiB: 16 },
      { id: 'root', sizeMiB: 8 },
    ];
    const own = { ...spec, vmId, uuid: '5f0c3a86-3a4b-4d7e-9a43-6b8a5f0d6ad2', image: bootImage, nics: [] };
    const [others, file] = [rig.volumes(), join(story.saves, 'seed')];
    writeFileSync(file, Buffer.alloc(1024 * 1024, SEED));
    const { topology } = await rig.a().boot({ ...own, seed: { file, sizeMiB: 1 }, spec: { ...spec.spec, nics: [], disks } });
    expect(topology.disks.map((d) => [d.id, d.port, d.sizeMiB])).toEqual([
      ['root', 0, 8],
      ['data', 1, 16],
      ['chrysalis.seed', 2, 1],
    ]);
    await rig.boots(rig.a(), vmId, 1);
    expect(await rig.a().resizeDisk(vmId, 'root', 12)).toMatchObject({ topology: { disks: [{ id: 'root', sizeMiB: 12 }, {}, {}] } });
    await rig.a().destroy(vmId, { deleteVolumes: true });
    expect(rig.volumes()).toEqual(others);
  });
};
