import { describe, expect, test } from '@jest/globals';
import { topologyHash } from '@chrysalis/contracts';
import { bootSpec } from '../test/driver-contract/rig.ts';
import { VirtualClock } from './clock.ts';
import { SimulatedDriver } from './driver.ts';
import { SimulatedWorld } from './world.ts';
import { random } from './faults.ts';
import { SimulatedStore } from './state.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const limits = { downtimeLimitMs: 300, maxBandwidthMiBps: 128 };
const pair = (seed = 1) => {
  let boots = 0;
  const world = new SimulatedWorld({
    clock: new VirtualClock(),
    seed,
    newBootId: () => `00000000-0000-4000-8000-${String(boots++).padStart(12, '0')}`,
  });
  return { world, a: new SimulatedDriver({ host: 'a', world }), b: new SimulatedDriver({ host: 'b', world }) };
};
const move = async (a: SimulatedDriver, b: SimulatedDriver, vmId: string, more = {}) => {
  const { topology } = await a.status(vmId);
  const { migrationAddress: address } = await b.prepareTarget({ vmId, topology, topologyHash: topologyHash(topology) });
  return a.migrate(vmId, { address, limits, ...more });
};

describe('simulated world', () => {
  test('a thousand VMs move in virtual time, each once', async () => {
    const { world, a, b } = pair();
    const ids = Array.from({ length: 1_000 }, (_, i) => `vm-${i}`);
    await Promise.all(ids.map((vmId) => a.boot(bootSpec(vmId))));
    const begun = world.clock.now();
    const outcomes = await Promise.all(ids.map((vmId) => move(a, b, vmId)));
    expect(outcomes.every((o) => o.outcome === 'completed')).toBe(true);
    await Promise.all(ids.map((vmId) => b.resume(vmId)));
    const states = await Promise.all(ids.map(async (vmId) => [(await a.status(vmId)).state, (await b.status(vmId)).state].join()));
    expect(new Set(states)).toEqual(new Set(['postmigrate,running']));
    expect(world.clock.now() - begun).toBeGreaterThan(1_500);
  });

  test('a guest that writes faster than the link carries is found out and stays', async () => {
    const { a, b } = pair();
    await a.boot(bootSpec('vm'));
    a.simulatedGuest('vm').behave({ dirtyMiBps: 500 });
    const result = await move(a, b, 'vm', { stallMs: 10_000 });
    expect(result).toMatchObject({ outcome: 'failed', running: true, cause: { code: 'hypervisor.migration_stalled' } });
    expect((await a.status('vm')).running).toBe(true);
  });

  test('faults strike where and as often as they were told, and say that they did', async () => {
    const { world, a, b } = pair();
    await a.boot(bootSpec('vm'));
    world.faults.add({ operation: 'plug', host: 'a', action: 'fail', times: 1 });
    const nic = { kind: 'nic', id: 'back', port: 5, mac: '52:54:00:00:07:0a', network: 'lan' } as const;
    await expect(a.plug('vm', nic)).rejects.toMatchObject({ code: 'hypervisor.injected' });
    expect((await a.topology('vm')).topology.nics).toHaveLength(1);
    expect((await a.plug('vm', nic)).topology.nics).toHaveLength(2);
    world.faults.add({ operation: 'migrate-load', host: 'b', action: 'fail' });
    expect(await move(a, b, 'vm')).toMatchObject({ outcome: 'failed', running: true });
    expect(world.faults.reached.map((f) => `${f.operation}@${f.host}`)).toEqual(['plug@a', 'migrate-load@b']);
    const before = world.clock.now();
    world.faults.add({ operation: 'status', action: 'slow', ms: 90_000, times: 1 });
    await a.status('vm');
    expect(world.clock.now() - before).toBe(90_000);
  });

  test('two runs of one seed are the same run', async () => {
    const run = async (): Promise<string[]> => {
      const { world, a } = pair(7);
      world.faults.add({ operation: 'boot', action: 'fail', perMille: 300 });
      for (let i = 0; i < 40; i++) await a.boot(bootSpec(`vm-${i}`)).catch(() => undefined);
      return world.faults.reached.map((f) => f.vmId);
    };
    const first = await run();
    expect(first.length).toBeGreaterThan(2);
    expect(await run()).toEqual(first);
  });

  test('a guest refuses, or says nothing until the deadline', async () => {
    const { world, a } = pair();
    await a.boot(bootSpec('vm'));
    a.simulatedGuest('vm').behave({ unplug: 'refuses' });
    await expect(a.unplug('vm', { kind: 'nic', id: 'front' }, 5_000)).rejects.toMatchObject({ code: 'hypervisor.unplug_refused' });
    a.simulatedGuest('vm').behave({ unplug: 'silent' });
    const before = world.clock.now();
    await expect(a.unplug('vm', { kind: 'nic', id: 'front' }, 5_000)).rejects.toMatchObject({ code: 'hypervisor.unplug_timeout' });
    expect(world.clock.now() - before).toBe(5_000);
    expect((await a.topology('vm')).topology.nics).toHaveLength(1);
  });

  test('what is plugged is in the guest when it was brought online, and moves with it', async () => {
    const { a, b } = pair();
    await a.boot(bootSpec('vm'));
    await a.plug('vm', { kind: 'cpu', id: 'cpu1', coreId: 1 });
    await a.plug('vm', { kind: 'memory', id: 'dimm1', sizeMiB: 256 });
    await a.resizeDisk('vm', 'data', 128);
    const guest = a.simulatedGuest('vm');
    expect([guest.facts().vcpus, guest.facts().memoryMiB]).toEqual([1, 208]);
    expect([guest.onlineCpus(2), guest.onlineMemory(512)]).toEqual([2, 512]);
    const { beforeBytes, afterBytes } = guest.growFileSystem('data');
    expect(afterBytes).toBeGreaterThan(beforeBytes);
    const before = guest.facts();
    await move(a, b, 'vm');
    await b.resume('vm');
    expect({ ...b.simulatedGuest('vm').facts(), uptimeSeconds: 0 }).toEqual({ ...before, uptimeSeconds: 0 });
    expect(guest.facts.bind(guest)).toThrow(expect.objectContaining({ code: 'hypervisor.not_ready' }));
  });

  test('a store in a directory gives its VMs to another process', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'chy-store-'));
    try {
      const first = new SimulatedDriver({ host: 'a', store: new SimulatedStore(directory) });
      const booted = await first.boot(bootSpec('vm:1'));
      await first.close();
      const second = new SimulatedDriver({ host: 'a', store: new SimulatedStore(directory) });
      expect(await second.adopt()).toMatchObject([{ vmId: 'vm:1', state: 'running', topologyHash: booted.topologyHash }]);
      await second.destroy('vm:1', { deleteVolumes: true });
      expect(await new SimulatedDriver({ host: 'a', store: new SimulatedStore(directory) }).adopt()).toEqual([]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

test('the numbers of a seed', () => {
  const draw = random(42);
  expect([draw(), draw(), draw()].map((x) => x.toFixed(6))).toEqual(['0.601104', '0.448291', '0.852466']);
});
