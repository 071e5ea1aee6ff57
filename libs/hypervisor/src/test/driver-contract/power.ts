import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { topologyHash } from '@chrysalis/contracts';
import { MOVED, SEED, disk, refused } from './rig.ts';
import { listen, untilSeen, type Story } from './story.ts';

/** A VM goes off and on with the same hardware and disks, stands still and goes on. */
export const goesOffAndOn = (story: Story): void => {
  test('is halted and started with the same hardware and disks, paused, continued and reset; each said again is so', async () => {
    const { rig, spec } = story;
    const vmId = 'vm-0192f7a0-0000-7000-8000-0000000000fe';
    const file = join(story.saves, 'seed');
    writeFileSync(file, Buffer.alloc(1024 * 1024, `${SEED}\n`));
    const others = rig.volumes();
    const other = {
      ...spec,
      seed: { file, sizeMiB: 1 },
      vmId,
      uuid: '5f0c3a86-3a4b-4d7e-9a43-6b8a5f0d6afe',
      nics: [],
      spec: { ...spec.spec, nics: [] },
    };
    const off = { state: 'halted', running: false, observed: { state: 'shut-down', why: { code: 'vm.off_as_told', by: 'host' } } };
    const up = async (): Promise<string> => {
      await rig.guestUp(rig.a(), vmId);
      return rig.bootId(rig.a(), vmId);
    };
    const seeded = await rig.a().boot(other);
    const first = await up();
    expect(seeded.topology.disks.at(-1)).toMatchObject({ id: 'chrysalis.seed', readOnly: true, sizeMiB: 1 });
    expect(await rig.seed(rig.a(), vmId)).toBe(SEED);
    const bare = { ...seeded.topology, disks: seeded.topology.disks.slice(0, -1) };
    const shaped = { topology: bare, topologyHash: topologyHash(bare) };
    for (const _ of [1, 2]) await rig.a().pause(vmId);
    await untilSeen(rig.a(), vmId, { state: 'paused', why: { code: 'vm.stopped' } });
    for (const _ of [1, 2]) await rig.a().unpause(vmId);
    await untilSeen(rig.a(), vmId, { state: 'running' });
    expect(await up()).toBe(first);

    const heard = listen(rig.a());
    await rig.a().pressReset(vmId);
    await heard.until(vmId, 'reset');
    const second = await up();
    expect(second).not.toBe(first);

    await rig.leaveMark(rig.a(), vmId, 'kept');
    heard.stop();
    const silent = listen(rig.a());
    for (const _ of [1, 2]) await rig.a().halt(vmId);
    expect(await rig.a().status(vmId)).toMatchObject({ ...off, ...seeded });
    await refused(rig.a().plug(vmId, disk('late', 4)), 'hypervisor.qemu_exited');
    await expect(rig.a().pause(vmId)).rejects.toMatchObject({ name: 'HypervisorError' });
    await rig.lose('a');
    expect((await rig.a().adopt()).find((v) => v.vmId === vmId)).toMatchObject(off);
    expect(silent.of(vmId)).toEqual([]); // an end that was asked for is no news
    silent.stop();

    expect(await rig.a().start(vmId)).toEqual(shaped); // without the seed, which was for its first boot
    // One whose guest comes to an end while its process stands (here in its firmware: a boot costs seconds) gets another process.
    await rig.endsInside('a', vmId);
    expect(await rig.a().status(vmId)).toMatchObject({ state: expect.stringMatching(/^(shutdown|guest-panicked)$/), running: false });
    const deaf = listen(rig.a());
    expect(await rig.a().start(vmId)).toEqual(shaped);
    const third = await up();
    expect(await rig.seed(rig.a(), vmId)).toBe('');
    expect(third).not.toBe(second);
    expect(await rig.a().start(vmId)).toEqual(shaped);
    expect(await rig.bootId(rig.a(), vmId)).toBe(third);
    expect(await rig.mark(rig.a(), vmId)).toBe('kept');
    expect(await rig.a().status(vmId)).toMatchObject({ running: true, observed: { state: 'running' } });
    expect(deaf.of(vmId).filter(([kind]) => kind === 'ended' || kind === 'shut-down')).toEqual([]);
    deaf.stop();

    // One that powered itself off starts in the same way, and one that crashed then is told as that.
    await rig.powerOff('a', vmId);
    await untilSeen(rig.a(), vmId, { state: 'shut-down', why: { code: 'vm.shut_down' } });
    await rig.a().start(vmId);
    await rig.crash('a', vmId);
    await untilSeen(rig.a(), vmId, { state: 'gone', why: { code: 'vm.gone' } });
    await rig.a().halt(vmId);
    await rig.a().destroy(vmId, { deleteVolumes: true });
    expect(rig.a().list()).toEqual([MOVED]);
    expect(rig.volumes()).toEqual(others);
  }, 300_000);
};
