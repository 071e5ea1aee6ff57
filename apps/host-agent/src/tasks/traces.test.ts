import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { FLEET_TENANT, hostTasks, volumeFile, volumeHostTasks, type Topology } from '@chrysalis/contracts';
import { bootOf } from '../test/fixtures.ts';
import { Fleet } from '../test/fleet.ts';

describe('what host agents have of VMs, on the simulated driver', () => {
  let fleet: Fleet;
  const fleets = { tenant: FLEET_TENANT };
  const state = (vmId: string): string => join(fleet.dir, 'h1', 'agent', 'vms', `${vmId}.json`);
  const isThere = (vmId: string): boolean => existsSync(join(fleet.dir, 'h1', 'simulated', `${vmId}.json`));
  const look = () => fleet.must(hostTasks.listTraces, 'h1', { minAgeMs: 0 }, fleets);
  const of = async (vmId: string) => (await look()).traces.filter((t) => t.vmId === vmId);
  const remove = async (vmId: string, epoch = 1, traces?: Awaited<ReturnType<typeof of>>) =>
    (await fleet.must(hostTasks.removeVmTraces, 'h1', { vmId, epoch, traces: traces ?? (await of(vmId)) }, fleets)).results;
  /** Booted, and forgotten by its agent. */
  const lost = async (): Promise<string> => {
    const vmId = `vm-${randomUUID()}`;
    await fleet.must(hostTasks.bootVm, 'h1', bootOf(vmId));
    await fleet.kill('h1');
    rmSync(state(vmId));
    await fleet.start('h1');
    return vmId;
  };
  const ends = (results: { kind: string; done: string }[]): string[] => results.map((r) => `${r.kind} ${r.done}`);

  beforeAll(async () => {
    fleet = await Fleet.open();
    await fleet.host({ hostId: 'h1', driver: 'simulated' });
  });
  beforeEach(() => fleet.fail({}));
  afterAll(() => fleet.stop());

  test('a VM that its agent forgot is seen and goes, process before folder; one that it knows is told', async () => {
    const known = `vm-${randomUUID()}`;
    await fleet.must(hostTasks.bootVm, 'h1', bootOf(known));
    const vmId = await lost();
    const { vms, traces, pools, more } = await look();
    expect([vms, more]).toEqual([[known], false]);
    expect(pools).toEqual([{ name: 'shared', shared: true, poolId: expect.stringMatching(/^pool-/) }]);
    expect(traces[0]).toMatchObject({ kind: 'process', vmId }); // what nothing is known of comes first
    expect(ends(await remove(vmId))).toEqual(['process removed', 'folder removed']);
    expect([isThere(vmId), isThere(known)]).toEqual([false, true]);
    expect(JSON.parse(readFileSync(state(vmId), 'utf8'))).toMatchObject({ role: 'none', epoch: 1 });
  });

  test('no tenant’s workflow looks or removes', async () => {
    const vmId = await lost();
    const traces = await of(vmId);
    for (const [task, input] of [
      [hostTasks.listTraces, {}],
      [hostTasks.removeTraces, { of: vmId, traces }],
    ] as const)
      // prettier-ignore
      expect(await fleet.run(task, 'h1', input)).toMatchObject({ ok: false, cause: { code: 'auth.denied' } });
    expect(await fleet.run(hostTasks.removeVmTraces, 'h1', { vmId, epoch: 1, traces })).toMatchObject({ ok: false });
    expect(isThere(vmId)).toBe(true);
  });

  test('killed in the middle, the same task finds the rest; two at once remove it once', async () => {
    const vmId = await lost();
    fleet.fail({ 'host:erased': { action: 'exit', where: { kind: 'process', hostId: 'h1' } } });
    const traces = await of(vmId);
    const task = await fleet.begin(hostTasks.removeVmTraces, 'h1', { vmId, epoch: 1, traces }, fleets);
    await fleet.ended('h1');
    expect(isThere(vmId)).toBe(true);
    fleet.fail({});
    await fleet.start('h1');
    const { output } = (await fleet.reported(task)) as unknown as { output: { results: { kind: string; done: string }[] } };
    expect(ends(output.results)).toEqual(['process gone', 'folder removed']);

    const other = await lost();
    const both = await of(other);
    const [a, b] = await Promise.all([remove(other, 1, both), remove(other, 1, both)]);
    expect([...ends(a), ...ends(b)].sort()).toEqual(['folder gone', 'folder removed', 'process gone', 'process removed']);
  });

  test('what was judged before the VM came (back) here stays: made, or prepared as a target, at a higher epoch', async () => {
    const vmId = await lost();
    const traces = await of(vmId);
    await fleet.must(hostTasks.bootVm, 'h1', { ...bootOf(vmId), uuid: JSON.parse(readFileSync(join(fleet.dir, 'h1', 'simulated', `${vmId}.json`), 'utf8')).topology.uuid, epoch: 2 }); // prettier-ignore
    expect(ends(await remove(vmId, 1, traces))).toEqual(['process stays', 'folder stays']);
    const { topology, topologyHash } = JSON.parse(readFileSync(state(vmId), 'utf8')) as { topology: Topology; topologyHash: string };

    const moved = `vm-${randomUUID()}`;
    const target = { vmId: moved, epoch: 3, moveId: 'm-1', tenant: 'acme', topology, topologyHash };
    await fleet.must(hostTasks.prepareTarget, 'h1', target);
    const incoming = await of(moved);
    expect(incoming.every((t) => t.busy?.includes('is in move'))).toBe(true);
    // Also where somebody says that it was judged at that very epoch.
    for (const epoch of [2, 3]) expect(ends(await remove(moved, epoch, incoming))).toEqual(['process stays', 'folder stays']);
    expect([isThere(vmId), isThere(moved)]).toEqual([true, true]);
    await fleet.must(hostTasks.discardTarget, 'h1', { vmId: moved, epoch: 3, moveId: 'm-1' });
  });

  test('a volume goes, and not one that a VM of the host has', async () => {
    const [id, used] = [`volume-${randomUUID()}`, `volume-${randomUUID()}`];
    for (const volume of [id, used]) await fleet.must(volumeHostTasks.createVolume, 'h1', { pool: 'shared', volume: volumeFile(volume), sizeMiB: 16 }); // prettier-ignore
    const vmId = `vm-${randomUUID()}`;
    await fleet.must(hostTasks.bootVm, 'h1', bootOf(vmId));
    const disk = { id: used, serial: used.slice(-20), sizeMiB: 16, format: 'qcow2', readOnly: false, pool: 'shared', volume: volumeFile(used) }; // prettier-ignore
    await fleet.must(volumeHostTasks.attachVolume, 'h1', { vmId, epoch: 1, disk });
    const { traces } = await look();
    const erased = async (volume: string) => {
      const mine = traces.filter((t) => t.volumeId === volume);
      return ends((await fleet.must(hostTasks.removeTraces, 'h1', { of: volume, traces: mine }, fleets)).results);
    };
    expect([await erased(id), await erased(used), await erased(id)]).toEqual([['disk removed'], ['disk stays'], ['disk gone']]);
  });
});
