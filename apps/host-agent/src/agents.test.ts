import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { guestTasks, hostTasks, type OutputOf, type Topology } from '@chrysalis/contracts';
import { until } from '@chrysalis/testing';
import { Fleet } from './test/fleet.ts';
import { bootOf, digest, spec, transferOf } from './test/fixtures.ts';

type Shaped = { topology: Topology; topologyHash: string };
type Prepared = OutputOf<typeof hostTasks.prepareTarget>;

describe('host agents, as processes, on the simulated driver', () => {
  let fleet: Fleet;
  const boot = async (vmId: string, disks: readonly { id: string; sizeMiB: number }[] = spec.disks): Promise<Shaped> =>
    fleet.must(hostTasks.bootVm, 'h1', bootOf(vmId, { spec: { ...spec, disks: [...disks] } }));
  const prepare = (vmId: string, topology: Shaped, moveId: string): Promise<Prepared> =>
    fleet.must(hostTasks.prepareTarget, 'h2', { vmId, epoch: 2, moveId, tenant: 'acme', ...shapedOf(topology) });
  const shapedOf = ({ topology, topologyHash }: Shaped): Shaped => ({ topology, topologyHash });
  const stateOf = (hostId: string, vmId: string): Record<string, unknown> =>
    JSON.parse(readFileSync(join(fleet.dir, hostId, 'agent/vms', `${vmId}.json`), 'utf8')) as Record<string, unknown>;
  const simulated = (hostId: string, vmId: string): string => {
    try {
      return (JSON.parse(readFileSync(join(fleet.dir, hostId, 'simulated', `${vmId}.json`), 'utf8')) as { state: string }).state;
    } catch {
      return 'none';
    }
  };

  beforeAll(async () => {
    fleet = await Fleet.open();
    await Promise.all(['h1', 'h2'].map((hostId) => fleet.host({ hostId, driver: 'simulated' })));
  });
  beforeEach(() => fleet.fail({}));
  afterAll(() => fleet.stop());

  test('a VM boots, is looked at, changes, moves, is confirmed and released; and each step twice is once', async () => {
    const vmId = 'vm-a';
    const booted = await boot(vmId);
    const device = { kind: 'cpu', id: 'cpu1', coreId: 1 };
    const plugged = await fleet.must(hostTasks.plug, 'h1', { vmId, epoch: 1, device });
    expect(shapedOf(await fleet.must(hostTasks.plug, 'h1', { vmId, epoch: 1, device }))).toEqual(shapedOf(plugged));
    expect(plugged['topology'].vcpus.plugged).toEqual([{ id: 'cpu1', coreId: 1 }]);
    expect(plugged['topologyHash']).not.toBe(booted['topologyHash']);
    const checks = { vmId, epoch: 1, ...shapedOf(plugged), targetSpec: spec };
    expect((await fleet.must(hostTasks.preflight, 'h1', { ...checks, role: 'source' }))['blockers']).toEqual([]);
    expect((await fleet.must(hostTasks.preflight, 'h2', { ...checks, role: 'target' }))['blockers']).toEqual([]);

    const target = await prepare(vmId, plugged, 'mov-a');
    expect(await prepare(vmId, plugged, 'mov-a')).toEqual(target);
    const figures = await fleet.must(hostTasks.transfer, 'h1', transferOf(vmId, 'mov-a', target));
    expect(figures['downtimeMs']).toBeGreaterThanOrEqual(0);
    expect(await fleet.must(hostTasks.transfer, 'h1', transferOf(vmId, 'mov-a', target))).toEqual(figures);
    expect(
      await fleet.must(hostTasks.confirmTarget, 'h2', { vmId, epoch: 2, moveId: 'mov-a', topologyHash: plugged['topologyHash'] }),
    ).toEqual(shapedOf(plugged));
    expect([simulated('h1', vmId), simulated('h2', vmId)]).toEqual(['postmigrate', 'running']);

    // Fenced: nothing may be done to it at its old place, and its new place may not be discarded.
    expect(await fleet.run(hostTasks.plug, 'h1', { vmId, epoch: 1, device })).toMatchObject({
      ok: false,
      cause: { code: 'host.epoch_stale' },
    });
    expect(await fleet.run(hostTasks.discardTarget, 'h2', { vmId, epoch: 2, moveId: 'mov-a' })).toMatchObject({
      ok: false,
      cause: { code: 'host.target_runs' },
    });
    expect(await fleet.run(hostTasks.plug, 'h2', { vmId, epoch: 1, device })).toMatchObject({
      ok: false,
      cause: { code: 'host.epoch_stale' },
    });
    await fleet.must(hostTasks.releaseSource, 'h1', { vmId, epoch: 1, moveId: 'mov-a' });
    await fleet.must(hostTasks.releaseSource, 'h1', { vmId, epoch: 1, moveId: 'mov-a' });
    expect([simulated('h1', vmId), simulated('h2', vmId)]).toEqual(['none', 'running']);
    await fleet.must(hostTasks.destroyVm, 'h2', { vmId, epoch: 2, deleteVolumes: true });
  });

  test('guest tasks need a grant, and with it reach the guest, also after a move', async () => {
    const vmId = 'vm-g';
    await boot(vmId);
    expect(await fleet.run(guestTasks.facts, 'h1', { vmId, epoch: 1 })).toMatchObject({ ok: false, cause: { code: 'grant.unknown' } });
    const grant = await fleet.grant([vmId], [digest('b')]);
    const withAgent = await fleet.must(hostTasks.addAgent, 'h1', { vmId, epoch: 1, grant, package: digest('b') });
    const before = (await fleet.must(guestTasks.facts, 'h1', { vmId, epoch: 1 }))['facts'];
    const target = await prepare(vmId, withAgent, 'mov-g');
    await fleet.must(hostTasks.transfer, 'h1', transferOf(vmId, 'mov-g', target));
    const after = (await fleet.must(guestTasks.verify, 'h2', { vmId, epoch: 2, expect: { bootId: before.bootId, vcpus: 1 } }))['facts'];
    expect(after?.bootId).toBe(before.bootId);
    expect(await fleet.run(hostTasks.addAgent, 'h2', { vmId, epoch: 2, grant, package: digest('c') })).toMatchObject({
      ok: false,
      cause: { code: 'grant.package_not_named' },
    });
  });

  test('stale tokens are refused, except of what had begun', async () => {
    const vmId = 'vm-t';
    await boot(vmId);
    const given = { workflowId: `op-${randomUUID()}`, token: 100 };
    await fleet.must(hostTasks.plug, 'h1', { vmId, epoch: 1, device: { kind: 'cpu', id: 'cpu1', coreId: 1 } }, given);
    expect(
      await fleet.run(hostTasks.plug, 'h1', { vmId, epoch: 1, device: { kind: 'cpu', id: 'cpu2', coreId: 2 } }, { ...given, token: 99 }),
    ).toMatchObject({
      ok: false,
      cause: { code: 'host.token_stale' },
    });
    expect(await fleet.run(hostTasks.plug, 'h1', { vmId, epoch: 5, device: { kind: 'cpu', id: 'cpu2', coreId: 2 } })).toMatchObject({
      ok: false,
      cause: { code: 'host.epoch_ahead' },
    });
  });

  test('a task that waits for its turn is not stale because later ones ran beside what it waits for', async () => {
    const vmId = 'vm-w';
    const epoch = 1;
    await boot(vmId);
    const grant = await fleet.grant([vmId], [digest('b')]);
    await fleet.must(hostTasks.addAgent, 'h1', { vmId, epoch, grant, package: digest('b') });
    fleet.fail({ 'task:host.plug:before': { action: 'delay', ms: 400, where: { vmId } } });
    const workflowId = `op-${randomUUID()}`;
    const plugs = [1, 2].map((n) => ({ token: 200 + n, device: { kind: 'cpu', id: `cpu${n}`, coreId: n } }));
    const begun = [];
    for (const { token, device } of plugs)
      begun.push(await fleet.begin(hostTasks.plug, 'h1', { vmId, epoch, device }, { workflowId, token }));
    const facts = await fleet.begin(guestTasks.facts, 'h1', { vmId, epoch }, { workflowId, token: 203 });
    const ended: string[] = [];
    const outcomes = await Promise.all(
      [...begun, facts].map(async (task) => {
        const outcome = await fleet.reported(task);
        ended.push(task.kind);
        return outcome;
      }),
    );
    fleet.fail({});
    expect(outcomes).toMatchObject([{ ok: true }, { ok: true }, { ok: true }]);
    expect(ended[0]).toBe('guest.facts');
    expect((outcomes[1] as unknown as { output: { topology: Topology } }).output.topology.vcpus.plugged.map((c) => c.id)).toEqual([
      'cpu1',
      'cpu2',
    ]);
    await fleet.must(hostTasks.destroyVm, 'h1', { vmId, epoch, deleteVolumes: true });
  });

  test('every blocker at once', async () => {
    const vmId = 'vm-b';
    const { topology } = await boot(vmId);
    const wish = {
      ...topology,
      cpuModel: 'Cray-1',
      machine: 'pc-q35-99.9',
      disks: topology.disks.map((d: object) => ({ ...d, pool: 'moon' })),
    };
    const { blockers } = await fleet.must(hostTasks.preflight, 'h2', {
      vmId,
      epoch: 1,
      role: 'target',
      topology: wish,
      topologyHash: digest('0'),
      targetSpec: { ...spec, vcpus: { now: 16, max: 16 } },
    });
    expect(blockers.map((b: { code: string }) => b.code).sort()).toEqual([
      'host.cpu_model_missing', 'host.machine_type_missing', 'host.pools_missing', 'host.topology_mismatch', 'vm.no_headroom',
    ]); // prettier-ignore
  });

  test('an agent killed between a task and its report: reported once, after its return', async () => {
    const vmId = 'vm-k';
    await boot(vmId);
    fleet.fail({ 'task:host.plug:after': { action: 'exit', times: 1, where: { hostId: 'h1' } } });
    const task = await fleet.begin(hostTasks.plug, 'h1', { vmId, epoch: 1, device: { kind: 'cpu', id: 'cpu1', coreId: 1 } });
    await fleet.ended('h1');
    fleet.fail({});
    await fleet.start('h1');
    expect(await fleet.reported(task)).toMatchObject({ ok: true, output: { topology: { vcpus: { plugged: [{ id: 'cpu1' }] } } } });
  });

  test.each([
    ['transfer:probed', 'h1', 'source'],
    ['transfer:completed', 'h1', 'source'],
    ['transfer:fenced', 'h1', 'target'],
    ['transfer:answered', 'h1', 'target'],
    ['receipt:recorded', 'h2', 'target'],
    ['receipt:resumed', 'h2', 'target'],
  ])('an agent killed at %s on %s: one runs, on the %s, and the report says so', async (point, hostId, place) => {
    const vmId = `vm-${point.replace(':', '-')}`;
    const booted = await boot(vmId);
    const moveId = `mov-${point.replace(':', '-')}`;
    const target = await prepare(vmId, booted, moveId);
    fleet.fail({ [`host:${point}`]: { action: 'exit', where: { hostId } } });
    const task = await fleet.begin(hostTasks.transfer, 'h1', transferOf(vmId, moveId, target));
    await fleet.ended(hostId);
    fleet.fail({});
    await fleet.start(hostId);
    const outcome = await fleet.reported(task);
    expect(outcome.ok).toBe(place === 'target');
    const states = [simulated('h1', vmId), simulated('h2', vmId)];
    expect(states.filter((s) => s === 'running')).toHaveLength(1);
    expect(states[place === 'source' ? 0 : 1]).toBe('running');
    if (place === 'source') await fleet.must(hostTasks.discardTarget, 'h2', { vmId, epoch: 2, moveId });
    expect(stateOf('h1', vmId)['role']).toBe(place === 'source' ? 'runner' : 'fenced');
  });

  test('a user’s disk of whatever name is the user’s: the agent comes and goes beside it, and its file system grows', async () => {
    const vmId = 'vm-names';
    const long = 'a-disk-with-a-name-that-no-serial-number-can-hold-in-full';
    const booted = await boot(vmId, [
      { id: 'agent', sizeMiB: 64 },
      { id: long, sizeMiB: 64 },
    ]);
    const grant = await fleet.grant([vmId], [digest('b')]);
    const { topology } = await fleet.must(hostTasks.addAgent, 'h1', { vmId, epoch: 1, grant, package: digest('b') });
    expect(topology.disks.slice(0, 2)).toEqual(booted.topology.disks);
    expect(topology.disks).toHaveLength(3);
    expect(await fleet.run(hostTasks.unplug, 'h1', { vmId, epoch: 1, device: { kind: 'disk', id: topology.disks[2]!.id } })).toMatchObject({
      ok: false,
      cause: { code: 'executor.input_invalid' },
    });
    for (const disk of ['agent', long]) {
      await fleet.must(hostTasks.resizeDisk, 'h1', { vmId, epoch: 1, disk, sizeMiB: 128 });
      const { beforeBytes, afterBytes } = await fleet.must(guestTasks.growFileSystem, 'h1', { vmId, epoch: 1, disk });
      expect(afterBytes).toBeGreaterThan(beforeBytes);
    }
    const left = await fleet.must(hostTasks.removeAgent, 'h1', { vmId, epoch: 1 });
    expect(left.topology.disks.map((d) => d.id)).toEqual(['agent', long]);
    // Once more, where there is no agent: nothing of the user's is taken for it.
    expect(shapedOf(await fleet.must(hostTasks.removeAgent, 'h1', { vmId, epoch: 1 }))).toEqual(shapedOf(left));
    await fleet.must(hostTasks.destroyVm, 'h1', { vmId, epoch: 1, deleteVolumes: true });
  });

  test('with the peer link cut the receipt goes through the gateway', async () => {
    const vmId = 'vm-p';
    const target = await prepare(vmId, await boot(vmId), 'mov-p');
    fleet.fail({ 'host:peer-link': { action: 'fail' } });
    const figures = await fleet.must(hostTasks.transfer, 'h1', transferOf(vmId, 'mov-p', target));
    expect(figures['downtimeMs']).toBeLessThan(2_000);
    expect(simulated('h2', vmId)).toBe('running');
  });

  test('a target that was given up after the fence: the source takes the guest back, above both epochs', async () => {
    const vmId = 'vm-l';
    const booted = await boot(vmId);
    const target = await prepare(vmId, booted, 'mov-l');
    fleet.fail({ 'host:transfer:fenced': { action: 'delay', ms: 1_500, where: { hostId: 'h1' } } });
    const task = await fleet.begin(hostTasks.transfer, 'h1', transferOf(vmId, 'mov-l', target));
    await until(async () => stateOf('h1', vmId)['role'] === 'fenced');
    await fleet.must(hostTasks.discardTarget, 'h2', { vmId, epoch: 2, moveId: 'mov-l' });
    expect(await fleet.reported(task)).toMatchObject({ ok: false, cause: { code: 'host.target_lost', detail: { epoch: 3 } } });
    expect([simulated('h1', vmId), simulated('h2', vmId)]).toEqual(['running', 'none']);
    expect(stateOf('h1', vmId)).toMatchObject({ role: 'runner', epoch: 3, floor: 1 });
    // What undoes the move still knows the old epoch only.
    fleet.fail({});
    await fleet.must(hostTasks.plug, 'h1', { vmId, epoch: 1, device: { kind: 'cpu', id: 'cpu1', coreId: 1 } });
    // And its next move, at the epoch that no one ever ran.
    const again = await fleet.must(hostTasks.prepareTarget, 'h2', {
      vmId,
      epoch: 2,
      moveId: 'mov-l2',
      tenant: 'acme',
      ...shapedOf(await fleet.must(hostTasks.plug, 'h1', { vmId, epoch: 1, device: { kind: 'cpu', id: 'cpu1', coreId: 1 } })),
    });
    await fleet.must(hostTasks.transfer, 'h1', transferOf(vmId, 'mov-l2', again));
    expect([simulated('h1', vmId), simulated('h2', vmId)]).toEqual(['postmigrate', 'running']);
    await fleet.must(hostTasks.releaseSource, 'h1', { vmId, epoch: 1, moveId: 'mov-l2' });
    expect([simulated('h1', vmId), simulated('h2', vmId)]).toEqual(['none', 'running']);
  });

  test('the gateway restarts in mid-transfer: the move ends, and is reported', async () => {
    const vmId = 'vm-r';
    const target = await prepare(vmId, await boot(vmId), 'mov-r');
    fleet.fail({ 'task:host.transfer:after': { action: 'delay', ms: 1_000 } });
    const task = await fleet.begin(hostTasks.transfer, 'h1', transferOf(vmId, 'mov-r', target));
    await until(async () => simulated('h2', vmId) === 'running');
    await fleet.restartGateway();
    expect(await fleet.reported(task)).toMatchObject({ ok: true });
  });
});
