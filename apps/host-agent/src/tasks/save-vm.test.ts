import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { hostTasks, type OutputOf } from '@chrysalis/contracts';
import { until } from '@chrysalis/testing';
import { newVmState, type VmState } from '../durable/vm-state.ts';
import { digestOf } from '../images/store.ts';
import { saveVm } from './save-vm.ts';
import { say } from '../../../agent-gateway/src/test/harness.ts';
import { bootOf } from '../test/fixtures.ts';
import { Fleet } from '../test/fleet.ts';

const spec = {
  vcpus: { now: 1, max: 2 },
  memoryMiB: { now: 512, max: 1024 },
  disks: [{ id: 'data', sizeMiB: 16 }],
  nics: [],
  cpuModel: 'Westmere',
  requiredTraits: [],
};

describe('save files of host agents, as processes, on the simulated driver', () => {
  let fleet: Fleet;
  const boot = (vmId: string): Promise<OutputOf<typeof hostTasks.bootVm>> =>
    fleet.must(hostTasks.bootVm, 'h1', bootOf(vmId, { spec, nics: [] }));
  const fileOf = (hostId: string, vmId: string): string => join(fleet.dir, hostId, 'simulated', `${vmId}.json`);
  const vmOn = (hostId: string, vmId: string): Record<string, unknown> =>
    JSON.parse(readFileSync(fileOf(hostId, vmId), 'utf8')) as Record<string, unknown>;
  const filesOf = (hostId: string, name: string): string[] =>
    readdirSync(join(fleet.dir, hostId, 'images')).filter((f) => f.includes(name)).sort(); // prettier-ignore
  const refusal = async (input: Record<string, unknown>, hostId = 'h1'): Promise<string | true> => {
    const outcome = await fleet.run(hostTasks.saveVm, hostId, input);
    return outcome.ok || outcome.cause.code;
  };

  beforeAll(async () => {
    fleet = await Fleet.open();
    await Promise.all(['h1', 'h2'].map((hostId) => fleet.host({ hostId, driver: 'simulated' })));
  });
  beforeEach(() => fleet.fail({}));
  afterAll(() => fleet.stop());

  test('a save is one image, of its task; it is copied elsewhere, and its undo takes what its workflow made', async () => {
    const { topologyHash } = await boot('vm-one');
    const input = { vmId: 'vm-one', epoch: 1, name: 'one' };
    const task = await fleet.begin(hostTasks.saveVm, 'h1', input);
    const outcome = await fleet.reported(task);
    expect(outcome).toMatchObject({ ok: true, output: { hostId: 'h1', format: 'vm-state', vmId: 'vm-one', topologyHash, sizeMiB: 512 } });
    expect(vmOn('h1', 'vm-one')).toMatchObject({ state: 'running', saving: false });
    const saved = (outcome as unknown as { output: OutputOf<typeof hostTasks.saveVm> }).output;
    expect(await digestOf(join(fleet.dir, 'h1', 'images', 'one.img'))).toBe(saved.digest);

    // A later attempt of the same task has the same answer, another task has none.
    const { workflowId } = task;
    const again = { workflowId, task: task.task, attempt: 2 };
    expect(await fleet.must(hostTasks.saveVm, 'h1', input, again)).toEqual(saved);
    expect(await refusal(input)).toBe('host.image_conflict');

    const copy = { image: 'one', digest: saved.digest, fromHost: 'h1', elsewhere: true };
    const first = { workflowId, task: 'copy.0' };
    const fetched = await fleet.must(hostTasks.transferImage, 'h2', copy, first);
    expect(await fleet.must(hostTasks.transferImage, 'h2', copy, { ...first, attempt: 2 })).toEqual(fetched);
    for (const hostId of ['h1', 'h2'])
      expect(await fleet.run(hostTasks.transferImage, hostId, copy, { workflowId, task: 'copy.1' })).toMatchObject({
        ok: false,
        cause: { code: 'host.image_not_elsewhere', retriable: true },
      });
    const undo = { action: 'compensate' as const };
    for (const hostId of ['h1', 'h2']) {
      expect(await fleet.must(hostTasks.removeImage, hostId, { image: 'one' }, undo)).toEqual({ removed: false });
      expect(await fleet.must(hostTasks.removeImage, hostId, { image: 'one' }, { ...undo, workflowId })).toEqual({ removed: true });
      expect(filesOf(hostId, 'one')).toEqual([]);
    }
  });

  test('only a VM that runs here, at this epoch, and in no move is saved', async () => {
    const { topology, topologyHash } = await boot('vm-moved');
    const input = { vmId: 'vm-moved', epoch: 1, name: 'moved' };
    expect(await refusal({ ...input, vmId: 'vm-nobody' })).toBe('host.vm_unknown');
    expect(await refusal({ ...input, epoch: 2 })).toBe('host.epoch_ahead');
    expect(await refusal({ ...input, name: '../moved' })).toBe('executor.input_invalid');
    const shape = { topology, topologyHash };
    const target = await fleet.must(hostTasks.prepareTarget, 'h2', {
      ...{ vmId: 'vm-moved', epoch: 2, moveId: 'mov-s', tenant: 'acme' },
      ...shape,
    });
    expect(await refusal({ ...input, epoch: 2 }, 'h2')).toBe('host.vm_incoming');
    const limits = { downtimeLimitMs: 300, maxBandwidthMiBps: 1024 };
    const move = { vmId: 'vm-moved', epoch: 1, newEpoch: 2, moveId: 'mov-s', method: 'pre-copy', ...limits, ...target };
    await fleet.must(hostTasks.transfer, 'h1', move);
    expect(await refusal(input)).toBe('host.epoch_stale');
    expect([...filesOf('h1', 'moved'), ...filesOf('h2', 'moved')]).toEqual([]);
    expect(await fleet.must(hostTasks.saveVm, 'h2', { ...input, epoch: 2 })).toMatchObject({ hostId: 'h2', vmId: 'vm-moved' });
  });

  test('in a move it is refused, by a code that says so, at the end that gives and at the one that takes', () => {
    const { admit } = saveVm({} as Parameters<typeof saveVm>[0]);
    const state = { ...newVmState('vm-x', 'acme', 1), role: 'runner' as const };
    const asked = (move: object) => () => admit({ ...state, move: { moveId: 'mov-x', ...move } } as VmState, { vmId: 'vm-x', epoch: 1 });
    const inMove = expect.objectContaining({ code: 'host.vm_in_move', retriable: true });
    expect(asked({ side: 'source', phase: 'transferring' })).toThrow(inMove);
    expect(asked({ side: 'target', phase: 'waiting' })).toThrow(inMove);
    expect(asked({ side: 'source', phase: 'returned' })).not.toThrow();
    expect(asked({ side: 'target', phase: 'running' })).not.toThrow();
  });

  test.each(['task:host.save-vm:before', 'host:save:written', 'host:image:made', 'host:image:renamed', 'task:host.save-vm:after'])(
    'an agent killed at %s has saved the VM when it is back, once, and the VM runs',
    async (point) => {
      const name = `killed-${point.split(':').at(-1)!}`;
      const vmId = `vm-${name}`;
      await boot(vmId);
      fleet.fail({ [point]: { action: 'exit', where: { hostId: 'h1' } } });
      const task = await fleet.begin(hostTasks.saveVm, 'h1', { vmId, epoch: 1, name });
      await fleet.ended('h1');
      fleet.fail({});
      await fleet.start('h1');
      expect(await fleet.reported(task)).toMatchObject({ ok: true, output: { image: name, vmId } });
      expect(filesOf('h1', name)).toEqual([`${name}.img`, `${name}.json`]);
      expect(vmOn('h1', vmId)).toMatchObject({ state: 'running' });
    },
  );

  test('a guest that stood still when the agent was killed runs on at the start of the next one, with no word from the control plane', async () => {
    await boot('vm-still');
    await fleet.kill('h1');
    writeFileSync(fileOf('h1', 'vm-still'), JSON.stringify({ ...vmOn('h1', 'vm-still'), state: 'paused', saving: true }));
    await fleet.start('h1');
    await until(async () => vmOn('h1', 'vm-still')['state'] === 'running');
    expect(vmOn('h1', 'vm-still')).toMatchObject({ saving: false });
  });

  test('a save that is withdrawn leaves no file, and the VM running', async () => {
    await boot('vm-off');
    fleet.fail({ 'host:save:written': { action: 'delay', ms: 800 } });
    const { gateway } = fleet;
    const task = await fleet.begin(hostTasks.saveVm, 'h1', { vmId: 'vm-off', epoch: 1, name: 'off' });
    await until(async () => filesOf('h1', 'off').length > 0);
    const { workflowId, attempt, executor } = task;
    const cause = { code: 'workflow.cancelled', message: 'x' };
    const withdrawn = { workflowId, task: task.task, attempt, executor, final: true, cause };
    await say(gateway, 'chrysalis.workflow.task.failed.v1', withdrawn as { workflowId: string });
    expect(await fleet.reported(task)).toMatchObject({ ok: false, cause: { code: 'task.cancelled' } });
    expect(filesOf('h1', 'off')).toEqual([]);
    expect(vmOn('h1', 'vm-off')).toMatchObject({ state: 'running' });
  });
});
