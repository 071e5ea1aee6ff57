import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { hostTasks, type TaskContract } from '@chrysalis/contracts';
import { newVmState, type VmState } from '../durable/vm-state.ts';
import { powerHandlers } from './power.ts';
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
const modes = { modes: ['guest-agent', 'acpi'], timeoutMs: 2_000 };

describe('starting and stopping VMs by host agents, as processes, on the simulated driver', () => {
  let fleet: Fleet;
  const boot = (vmId: string) =>
    fleet.must(hostTasks.bootVm, 'h1', {
      ...{ vmId, epoch: 1, uuid: randomUUID(), tenant: 'acme', spec, image, nics: [], pool: 'shared', waitForGuest: true },
    });
  const file = (vmId: string): string => join(fleet.dir, 'h1', 'simulated', `${vmId}.json`);
  const seen = (vmId: string): { state: string; halted?: boolean; guest: { bootId: string } } =>
    JSON.parse(readFileSync(file(vmId), 'utf8')) as ReturnType<typeof seen>;

  beforeAll(async () => {
    fleet = await Fleet.open();
    await fleet.host({ hostId: 'h1', driver: 'simulated' });
  });
  beforeEach(() => fleet.fail({}));
  afterAll(() => fleet.stop());

  test('stop, start, restart, pause and continuation; each said again is so', async () => {
    const vmId = 'vm-round';
    const on = { vmId, epoch: 1 };
    const { topologyHash } = await boot(vmId);
    const first = seen(vmId).guest.bootId;
    expect(await fleet.must(hostTasks.stopVm, 'h1', { ...on, ...modes })).toMatchObject({ how: 'guest-agent' });
    expect(seen(vmId)).toMatchObject({ state: 'gone', halted: true });
    expect(await fleet.must(hostTasks.stopVm, 'h1', { ...on, ...modes })).not.toHaveProperty('how');
    await fleet.kill('h1');
    await fleet.start('h1');
    expect(seen(vmId)).toMatchObject({ state: 'gone', halted: true }); // an agent that comes back starts nobody
    expect(await fleet.run(hostTasks.pauseVm, 'h1', on)).toMatchObject({ ok: false, cause: { code: 'hypervisor.not_ready' } });
    // What could not be paused, as it is off, is undone without more.
    for (const task of [hostTasks.pauseVm, hostTasks.resumeVm]) await fleet.must(task, 'h1', on, { action: 'compensate' });
    expect(seen(vmId)).toMatchObject({ state: 'gone', halted: true });
    for (const _ of [1, 2]) expect(await fleet.must(hostTasks.startVm, 'h1', on)).toMatchObject({ topologyHash });
    const second = seen(vmId).guest.bootId;
    expect(second).not.toBe(first);
    for (const _ of [1, 2]) await fleet.must(hostTasks.pauseVm, 'h1', on);
    expect(seen(vmId).state).toBe('paused');
    expect(await fleet.run(hostTasks.stopVm, 'h1', { ...on, ...modes })).toMatchObject({ ok: false, cause: { code: 'host.guest_stays' } });
    for (const _ of [1, 2]) await fleet.must(hostTasks.resumeVm, 'h1', on);
    expect(seen(vmId)).toMatchObject({ state: 'running', guest: { bootId: second } });
    const reboot = { ...on, modes: ['guest-agent'], timeoutMs: 5_000 };
    expect(await fleet.must(hostTasks.rebootVm, 'h1', reboot)).toMatchObject({ how: 'guest-agent' });
    const third = seen(vmId).guest.bootId;
    expect(third).not.toBe(second);
    await fleet.must(hostTasks.resetVm, 'h1', on);
    expect(seen(vmId).guest.bootId).not.toBe(third);
    await fleet.must(hostTasks.pauseVm, 'h1', on);
    const force = { ...on, modes: ['guest-agent', 'acpi', 'power-off'], timeoutMs: 60_000 };
    expect(await fleet.must(hostTasks.stopVm, 'h1', force)).toMatchObject({ how: 'power-off' });
    await fleet.must(hostTasks.destroyVm, 'h1', { ...on, deleteVolumes: true });
  });

  test('guests that panicked, with their processes there, are started; or stopped, without force: they lose nothing by it', async () => {
    const [again, off] = ['vm-panicked', 'vm-panicked-off'];
    for (const vmId of [again, off]) await boot(vmId);
    const first = seen(again).guest.bootId;
    await fleet.kill('h1');
    for (const vmId of [again, off]) writeFileSync(file(vmId), JSON.stringify({ ...seen(vmId), state: 'guest-panicked' }));
    await fleet.start('h1');
    for (const _ of [1, 2]) await fleet.must(hostTasks.startVm, 'h1', { vmId: again, epoch: 1 });
    expect(seen(again)).toMatchObject({ state: 'running' });
    expect(seen(again).guest.bootId).not.toBe(first);
    for (const _ of [1, 2]) await fleet.must(hostTasks.stopVm, 'h1', { vmId: off, epoch: 1, ...modes });
    expect(seen(off)).toMatchObject({ state: 'gone', halted: true });
  });

  test('a guest that stands still at a disk is continued; where it could not be, that is undone without more', async () => {
    const on = { vmId: 'vm-full', epoch: 1 };
    await boot(on.vmId);
    await fleet.kill('h1');
    writeFileSync(file(on.vmId), JSON.stringify({ ...seen(on.vmId), state: 'io-error' }));
    await fleet.start('h1');
    await fleet.must(hostTasks.pauseVm, 'h1', on, { action: 'compensate' });
    expect(seen(on.vmId).state).toBe('io-error');
    for (const _ of [1, 2]) await fleet.must(hostTasks.resumeVm, 'h1', on);
    expect(seen(on.vmId).state).toBe('running');
  });

  const killed: [TaskContract, Record<string, unknown>, string][] = [
    [hostTasks.stopVm, modes, 'gone'],
    [hostTasks.startVm, {}, 'running'],
    [hostTasks.pauseVm, {}, 'paused'],
    [hostTasks.resumeVm, {}, 'running'],
  ];
  test.each(['before', 'after'])('an agent killed %s each has done it when it is back', async (side) => {
    const vmId = `vm-killed-${side}`;
    await boot(vmId);
    for (const [contract, input, state] of killed) {
      fleet.fail({ [`task:${contract.kind}:${side}`]: { action: 'exit', where: { hostId: 'h1' } } });
      const task = await fleet.begin(contract, 'h1', { vmId, epoch: 1, ...input });
      await fleet.ended('h1');
      fleet.fail({});
      await fleet.start('h1');
      expect(await fleet.reported(task)).toMatchObject({ ok: true });
      expect(seen(vmId).state).toBe(state);
    }
  });

  test.each(['before', 'after'])('an agent killed %s a restart: the guest restarts once, and that is said', async (side) => {
    const vmId = `vm-restart-${side}`;
    await boot(vmId);
    const first = seen(vmId).guest.bootId;
    fleet.fail({ [`task:host.reboot-vm:${side}`]: { action: 'exit', where: { hostId: 'h1' } } });
    const task = await fleet.begin(hostTasks.rebootVm, 'h1', { vmId, epoch: 1, modes: ['guest-agent'], timeoutMs: 5_000 });
    await fleet.ended('h1');
    const left = seen(vmId).guest.bootId;
    expect(left === first).toBe(side === 'before');
    fleet.fail({});
    await fleet.start('h1');
    expect(await fleet.reported(task)).toMatchObject({ ok: true });
    expect(seen(vmId).guest.bootId === first).toBe(false);
    if (side === 'after') expect(seen(vmId).guest.bootId).toBe(left);
  });

  test('only what runs here, at this epoch and in no move, is done anything to', () => {
    const state: VmState = { ...newVmState('vm-x', 'acme', 2), role: 'runner' };
    for (const { admit } of powerHandlers({} as Parameters<typeof powerHandlers>[0])) {
      const code = (expected: string) => expect.objectContaining({ code: expected });
      expect(() => admit(state, { vmId: 'vm-x', epoch: 1 })).toThrow(code('host.epoch_stale'));
      expect(() => admit(state, { vmId: 'vm-x', epoch: 3 })).toThrow(code('host.epoch_ahead'));
      expect(() => admit({ ...state, role: 'fenced' }, { vmId: 'vm-x', epoch: 2 })).toThrow(code('host.epoch_stale'));
      expect(() => admit(undefined, { vmId: 'vm-x', epoch: 2 })).toThrow(code('host.vm_unknown'));
      const move = { side: 'source', phase: 'transferring', moveId: 'mov-x' } as unknown as NonNullable<VmState['move']>;
      expect(() => admit({ ...state, move }, { vmId: 'vm-x', epoch: 2 })).toThrow(code('host.vm_in_move'));
      expect(() => admit(state, { vmId: 'vm-x', epoch: 2 })).not.toThrow();
    }
  });
});
