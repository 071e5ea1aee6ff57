import { expect, test } from '@jest/globals';
import { diskSerial, topologyHash, type Device } from '@chrysalis/contracts';
import type { BootSpec } from '../../driver.ts';
import { MOVED, disk, LONG, nic, agentPort, refused } from './rig.ts';
import { type Story } from './story.ts';

/** A VM is booted once, and changed while it runs. */
export const bootsAndPlugs = (story: Story): void => {
  test('says what its host can do', async () => {
    const { rig } = story;
    const facts = await rig.a().facts();
    expect(facts.cpuModels).toContain('Westmere');
    expect(facts.cpuModels).not.toContain('max');
    expect(facts.machineTypes).toContain('pc-q35-7.2');
    expect(facts.machineTypes).not.toContain('q35');
    expect(facts.storagePools).toContain('shared');
  });

  test('refuses what could not migrate, and leaves nothing of it', async () => {
    const { rig, spec } = story;
    const model = (cpuModel: string): BootSpec => ({ ...spec, vmId: 'refused', spec: { ...spec.spec, cpuModel } });
    await refused(rig.a().boot(model('max')), 'hypervisor.cpu_model_unsafe');
    await refused(rig.a().boot(model('NoSuchModel')), 'hypervisor.cpu_unsupported');
    await refused(rig.a().boot({ ...spec, vmId: 'refused', machine: 'q35' }), 'hypervisor.machine_unsupported');
    await refused(rig.a().boot({ ...spec, vmId: 'refused', pool: 'elsewhere' }), 'hypervisor.pool_unknown');
    expect(rig.a().list()).not.toContain('refused');
    await refused(rig.a().status('refused'), 'hypervisor.vm_unknown');
  });

  test('boots a VM once, however often it is asked to', async () => {
    const { rig, spec } = story;
    const first = await rig.a().boot(spec);
    const second = await rig.a().boot(spec);
    expect(second).toEqual(first);
    expect(topologyHash(first.topology)).toBe(first.topologyHash);
    expect(await rig.a().status(MOVED)).toMatchObject({ state: 'running', running: true, role: 'runner', migrating: false });
    await refused(rig.a().boot({ ...spec, uuid: '5f0c3a86-3a4b-4d7e-9a43-6b8a5f0d6a02' }), 'hypervisor.vm_exists');
    await rig.guestUp(rig.a(), MOVED);
    story.bootId = await rig.bootId(rig.a(), MOVED);
  }, 120_000);

  test('plugs a device of each kind, once, and says what is there', async () => {
    const { rig } = story;
    const devices: Device[] = [
      { kind: 'cpu', id: 'cpu1', coreId: 1 },
      { kind: 'memory', id: 'dimm0', sizeMiB: 128 },
      { kind: 'memory', id: 'dimm1', sizeMiB: 128 },
      disk('extra', 4),
      nic('back', 5),
    ];
    for (const device of devices) {
      const after = await rig.a().plug(MOVED, device);
      expect(await rig.a().plug(MOVED, device)).toEqual(after);
    }
    await rig.a().plugSerialPort(MOVED, agentPort);
    const { topology, topologyHash: hash } = await rig.a().topology(MOVED);
    expect(topology.vcpus.plugged).toEqual([{ id: 'cpu1', coreId: 1 }]);
    expect(topology.memory.dimms.map((d) => d.id)).toEqual(['dimm0', 'dimm1']);
    expect(topology.disks.map((d) => [d.id, d.port])).toEqual([
      ['data', 0],
      ['extra', 4],
    ]);
    expect(topology.nics.map((n) => [n.id, n.port])).toEqual([
      ['front', 1],
      ['back', 5],
    ]);
    expect(topology.serialPorts.map((p) => p.nr)).toEqual([1, 2]);
    expect(hash).toBe(topologyHash(topology));
  }, 20_000);

  test('refuses a device that has no room, and changes nothing', async () => {
    const { rig } = story;
    const before = await rig.a().topology(MOVED);
    await refused(rig.a().plug(MOVED, disk('second', 4)), 'hypervisor.port_in_use');
    await refused(rig.a().plug(MOVED, disk('second', 8)), 'hypervisor.no_free_port');
    await refused(rig.a().plug(MOVED, { ...disk('extra', 4), sizeMiB: 33 } as Device), 'hypervisor.device_conflict');
    await refused(rig.a().plug(MOVED, { kind: 'cpu', id: 'cpu9', coreId: 1 }), 'hypervisor.no_free_cpu');
    await refused(rig.a().plug(MOVED, { kind: 'cpu', id: 'cpu9', coreId: 4 }), 'hypervisor.no_free_cpu');
    await refused(rig.a().plug(MOVED, { kind: 'memory', id: 'dimm4', sizeMiB: 128 }), 'hypervisor.no_free_memory');
    await refused(rig.a().plug(MOVED, { kind: 'memory', id: 'dimm2', sizeMiB: 1024 }), 'hypervisor.no_free_memory');
    await refused(rig.a().plug(MOVED, { ...nic('other', 6), network: 'nowhere' } as Device), 'hypervisor.network_unknown');
    await refused(rig.a().plugSerialPort(MOVED, { id: 'third', nr: 2, name: 'x' }), 'hypervisor.no_free_serial');
    expect(await rig.a().topology(MOVED)).toEqual(before);
  });

  test('disks grow and never shrink', async () => {
    const { rig } = story;
    const grown = await rig.a().resizeDisk(MOVED, 'data', 96);
    expect(grown.topology.disks.find((d) => d.id === 'data')?.sizeMiB).toBe(96);
    expect(await rig.a().resizeDisk(MOVED, 'data', 96)).toEqual(grown);
    await refused(rig.a().resizeDisk(MOVED, 'data', 64), 'hypervisor.disk_shrink_refused');
    await refused(rig.a().resizeDisk(MOVED, 'none', 64), 'hypervisor.device_unknown');
  });

  test('names as long as a type may give are names like others', async () => {
    const { rig } = story;
    const [one, two] = LONG as [string, string];
    const before = await rig.a().topology(MOVED);
    await rig.a().plug(MOVED, disk(one, 6));
    await refused(rig.a().plug(MOVED, { ...disk(two, 7), serial: diskSerial(one) } as Device), 'hypervisor.device_conflict');
    const { topology } = await rig.a().plug(MOVED, disk(two, 7));
    expect(topology.disks.slice(-2).map((d) => [d.id, d.serial])).toEqual(LONG.map((id) => [id, diskSerial(id)]));
    expect((await rig.a().resizeDisk(MOVED, two, 48)).topology.disks.at(-1)?.sizeMiB).toBe(48);
    for (const id of LONG) await rig.a().unplug(MOVED, { kind: 'disk', id }, 15_000);
    await rig.a().plug(MOVED, nic(one, 6));
    expect(await rig.a().unplug(MOVED, { kind: 'nic', id: one }, 15_000)).toEqual(before);
  }, 60_000);

  test('unplugs what the guest lets go, once', async () => {
    const { rig } = story;
    await rig.a().unplug(MOVED, { kind: 'memory', id: 'dimm0' }, 15_000);
    await rig.a().unplug(MOVED, { kind: 'nic', id: 'back' }, 15_000);
    const after = await rig.a().unplug(MOVED, { kind: 'disk', id: 'extra' }, 15_000);
    expect(await rig.a().unplug(MOVED, { kind: 'disk', id: 'extra' }, 15_000)).toEqual(after);
    expect(after.topology.memory.dimms.map((d) => d.id)).toEqual(['dimm1']);
    expect([after.topology.disks.length, after.topology.nics.length]).toEqual([1, 1]);
    // The same again: what an unplug left behind on the host would refuse it.
    await rig.a().plug(MOVED, nic('back', 5));
    const last = await rig.a().unplug(MOVED, { kind: 'nic', id: 'back' }, 15_000);
    expect(last).toEqual(after);
  }, 60_000);

  test('unplugs a CPU, or says before it asks that this host does not survive it', async () => {
    const { rig } = story;
    const { cpuHotUnplug } = await rig.a().facts();
    if (!cpuHotUnplug) return refused(rig.a().unplug(MOVED, { kind: 'cpu', id: 'cpu1' }, 15_000), 'hypervisor.unplug_unsafe');
    const { topology } = await rig.a().unplug(MOVED, { kind: 'cpu', id: 'cpu1' }, 15_000);
    expect(topology.vcpus.plugged).toEqual([]);
    await rig.a().plug(MOVED, { kind: 'cpu', id: 'cpu1', coreId: 1 });
  }, 20_000);

  test('takes its VMs over again after it was lost', async () => {
    const { rig, bootId } = story;
    const before = await rig.a().status(MOVED);
    await rig.lose('a');
    await refused(rig.a().status(MOVED), 'hypervisor.vm_unknown');
    expect(await rig.a().adopt()).toEqual([before]);
    expect(await rig.a().topology(MOVED)).toEqual({ topology: before.topology, topologyHash: before.topologyHash });
    expect(await rig.bootId(rig.a(), MOVED)).toBe(bootId);
  });
};
