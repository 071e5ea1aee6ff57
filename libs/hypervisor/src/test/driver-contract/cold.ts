import { expect, test } from '@jest/globals';
import { topologyHash, type Topology } from '@chrysalis/contracts';
import { bootImage, refused } from './rig.ts';
import type { Story } from './story.ts';

/** A VM that is over at one host begins anew at the other, with other hardware than it had. */
export const beginsElsewhere = (story: Story): void => {
  test('a target that nothing comes to is seen to start, waits with no process, also for another driver, and is started once', async () => {
    const { rig, spec } = story;
    const vmId = 'vm-0192f7a0-0000-7000-8000-0000000c01d0';
    const kind = { ...spec.spec, nics: [], disks: [], memoryMiB: { now: 64, max: 128 }, vcpus: { now: 1, max: 2 } };
    const booted = await rig
      .a()
      .boot({ ...spec, vmId, uuid: '5f0c3a86-3a4b-4d7e-9a43-6b8a5f0dc01d', nics: [], spec: kind, image: bootImage });
    await rig.boots(rig.a(), vmId, 1);
    const topology: Topology = { ...booted.topology, memory: { ...booted.topology.memory, bootMiB: 96 } };
    const request = { vmId, topology, topologyHash: topologyHash(topology), cold: true };
    const wrong = { ...topology, cpuModel: 'NoSuchModel' };
    await refused(rig.b().prepareTarget({ ...request, topology: wrong, topologyHash: topologyHash(wrong) }), 'hypervisor.cpu_unsupported');
    expect(rig.b().list()).not.toContain(vmId);
    for (const _ of [1, 2]) await rig.b().prepareTarget(request); // while it runs at the other host: no disk is touched
    const prepared = { role: 'incoming', state: 'prepared', running: false, migrating: false };
    expect(await rig.b().status(vmId)).toMatchObject(prepared);
    await rig.lose('b');
    expect((await rig.b().adopt()).find((v) => v.vmId === vmId)).toMatchObject(prepared);

    await rig.a().halt(vmId);
    expect(await rig.a().start(vmId, { asItWas: true })).toEqual(booted); // it was not to be: as it was
    await rig.boots(rig.a(), vmId, 2);
    await rig.a().halt(vmId);
    const { resumedAtUs } = await rig.b().resume(vmId);
    expect(await rig.b().resume(vmId)).toEqual({ resumedAtUs });
    await rig.boots(rig.b(), vmId, 3);
    expect(await rig.b().status(vmId)).toMatchObject({ role: 'runner', state: 'running' });
    expect((await rig.b().topology(vmId)).topology.memory.bootMiB).toBe(96);
    await rig.lose('b');
    await rig.b().adopt();
    expect(await rig.b().resume(vmId)).toEqual({ resumedAtUs });
    await rig.a().destroy(vmId, { deleteVolumes: false });
    await rig.b().destroy(vmId, { deleteVolumes: true });
  }, 60_000);
};
