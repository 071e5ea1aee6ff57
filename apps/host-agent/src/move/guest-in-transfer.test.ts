import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { topologyHash } from '@chrysalis/contracts';
import { HypervisorError, realClock, SimulatedDriver, SimulatedWorld, type BootSpec, type HypervisorDriver } from '@chrysalis/hypervisor';
import { pino } from 'pino';
import { newVmState } from '../durable/vm-state.ts';
import { VmStates } from '../durable/vm-states.ts';
import { SourceMoves, type TransferResult } from './source.ts';
import { TargetMoves } from './target.ts';
import { notInMove } from '../tasks/handler-context.ts';
import { digest } from '../test/fixtures.ts';

const spec: BootSpec = {
  vmId: 'vm',
  uuid: '5f0c3a86-3a4b-4d7e-9a43-6b8a5f0d6a01',
  pool: 'shared',
  nics: [],
  image: { name: 'linux', version: 1, digest: digest('0'), cmdline: '' },
  spec: {
    vcpus: { now: 1, max: 4 },
    memoryMiB: { now: 256, max: 1024 },
    disks: [{ id: 'data', sizeMiB: 64 }],
    nics: [],
    cpuModel: 'Westmere',
    requiredTraits: [],
  },
};
type Failed = Extract<TransferResult, { ok: false }>;
const log = pino({ level: 'silent' });
let dir: string;
let world: SimulatedWorld;
let a: SimulatedDriver;
let b: SimulatedDriver;
let states: { a: VmStates; b: VmStates };

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'chy-guest-'));
  world = new SimulatedWorld({ clock: realClock, bandwidthMiBps: 512 });
  [a, b] = [new SimulatedDriver({ host: 'a', world }), new SimulatedDriver({ host: 'b', world })];
  states = { a: await VmStates.open(join(dir, 'a')), b: await VmStates.open(join(dir, 'b')) };
  await states.a.update('vm', () => ({ ...newVmState('vm', 't', 1), role: 'runner' }));
  await a.boot(spec);
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const base = (driver: HypervisorDriver, of: VmStates) => ({
  driver, states: of, log, now: Date.now, sleep: (ms: number) => sleep(ms), at: async () => undefined,
}); // prettier-ignore

/** `meanwhile` is done when the first progress comes. */
const move = async (
  meanwhile: () => void,
  source: HypervisorDriver = a,
  { withinMs = 20_000, limits = {} } = {},
): Promise<TransferResult> => {
  const target = new TargetMoves({
    ...base(b, states.b),
    hostId: 'b',
    patienceMs: 60_000,
    removeFromHost: (vmId) => b.destroy(vmId, { deleteVolumes: false }),
  });
  const { topology } = await a.status('vm');
  const prepared = await target.prepare({ vmId: 'vm', tenant: 't', epoch: 2, moveId: 'm', topology, topologyHash: topologyHash(topology) });
  const moves = new SourceMoves({
    ...base(source, states.a),
    maxPauseMs: 5_000,
    stallMs: 1_500,
    askPeer: (_, request) => target.answer(request),
  });
  const once = { done: false };
  const result = await moves.transfer(
    'vm',
    {
      side: 'source', phase: 'transferring', moveId: 'm', taskKey: 'k', newEpoch: 2, targetHost: 'b', peerAddress: 'b', ...prepared,
      method: 'pre-copy', downtimeLimitMs: 300, maxBandwidthMiBps: 1024, ...limits,
      startedAt: new Date().toISOString(), deadlineAt: new Date(Date.now() + withinMs).toISOString(),
    },
    { onProgress: () => once.done || (meanwhile(), (once.done = true)) },
  ); // prettier-ignore
  if (!result.ok) await target.discard('vm', 'm');
  return result;
};

/** The move has ended at both ends: what is left of the VM can be deleted. */
const settled = (): void => {
  expect(states.a.get('vm')).toMatchObject({ role: 'runner', move: { phase: 'returned' } });
  notInMove(states.a.get('vm')!);
  expect(states.b.get('vm')).toMatchObject({ role: 'none' });
};

test.each([
  ['powers itself off', () => a.powerOff('vm'), 'vm.shut_down'],
  ['panics', () => a.panic('vm'), 'vm.panicked'],
  ['finds its pool full', () => a.ioError('vm'), 'vm.io_error'],
  ['loses its QEMU', () => a.crash('vm'), 'host.guest_lost'],
])('a guest that %s in mid-transfer: the move ends with that as its cause, and the VM can be deleted', async (_, happens, code) => {
  expect(await move(happens)).toMatchObject({ ok: false, cause: { code } });
  settled();
});

test('a driver that throws in mid-transfer, its VM standing still: the guest is brought back', async () => {
  const broken = new Proxy(a, {
    get: (driver, name) => {
      const member = Reflect.get(driver, name) as unknown;
      if (name !== 'migrate') return typeof member === 'function' ? (member as () => unknown).bind(driver) : member;
      return async () => {
        a.stop('vm');
        throw new HypervisorError('hypervisor.qmp_timeout', 'QEMU did not answer query-status');
      };
    },
  });
  expect(await move(() => undefined, broken)).toMatchObject({ ok: false, cause: { code: 'hypervisor.qmp_timeout' } });
  expect((await a.status('vm')).running).toBe(true);
  settled();
});

test('a guest that restarts in mid-transfer is moved, and runs', async () => {
  const before = a.simulatedGuest('vm').facts().bootId;
  expect(await move(() => a.reset('vm'))).toMatchObject({ ok: true });
  expect((await b.status('vm')).running).toBe(true);
  expect(b.simulatedGuest('vm').facts().bootId).not.toBe(before);
  expect(states.b.get('vm')!.move).toMatchObject({ phase: 'running', restarted: true });
});

const diverges = { limits: { downtimeLimitMs: 1, maxBandwidthMiBps: 400 } };

test('a transfer that cannot converge ends as a stall, long before its deadline, with the figures that say why', async () => {
  a.simulatedGuest('vm').behave({ dirtyMiBps: 500 });
  const { cause } = (await move(() => undefined, a, diverges)) as Failed;
  expect(cause).toMatchObject({
    code: 'hypervisor.migration_stalled',
    message: expect.stringMatching(/too fast for this link and downtime limit/),
  });
  expect((await a.status('vm')).running).toBe(true);
  settled();
});

test('one that is still going at its deadline ends there, and says so', async () => {
  a.simulatedGuest('vm').behave({ dirtyMiBps: 500 });
  const { cause } = (await move(() => undefined, a, { ...diverges, withinMs: 1_000 })) as Failed;
  expect(cause).toMatchObject({ code: 'host.transfer_deadline', message: expect.stringMatching(/1 s after it began, at its deadline/) });
  settled();
});
