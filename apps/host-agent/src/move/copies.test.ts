import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { topologyHash } from '@chrysalis/contracts';
import {
  ownFiles,
  realClock,
  SimulatedDriver,
  SimulatedStore,
  SimulatedWorld,
  type BootSpec,
  type HypervisorDriver,
} from '@chrysalis/hypervisor';
import { pino } from 'pino';
import { newVmState } from '../durable/vm-state.ts';
import { VmStates } from '../durable/vm-states.ts';
import { digest } from '../test/fixtures.ts';
import { removeFromHost } from './remove-from-host.ts';
import { SourceMoves, type TransferResult } from './source.ts';
import { TargetMoves } from './target.ts';

const spec: BootSpec = {
  vmId: 'vm',
  uuid: '5f0c3a86-3a4b-4d7e-9a43-6b8a5f0d6a01',
  pool: 'own',
  nics: [],
  image: { name: 'linux', version: 1, digest: digest('0'), cmdline: '' },
  spec: {
    vcpus: { now: 1, max: 1 },
    memoryMiB: { now: 256, max: 256 },
    disks: [{ id: 'data', sizeMiB: 512 }],
    nics: [],
    cpuModel: 'Westmere',
    requiredTraits: [],
  },
};
const pools = { own: { directory: '/nowhere', shared: false, kind: 'folder' as const } };
const log = pino({ level: 'silent' });
let dir: string;
let world: SimulatedWorld;
const stores = { a: new SimulatedStore(), b: new SimulatedStore() };
let hosts: Record<'a' | 'b', SimulatedDriver>;
let states: { a: VmStates; b: VmStates };
const driverOf = (host: 'a' | 'b'): SimulatedDriver =>
  new SimulatedDriver({ host, world, store: stores[host], pools: ['own'], localPools: ['own'] });

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'chy-copies-'));
  world = new SimulatedWorld({ clock: realClock, bandwidthMiBps: 1024 });
  for (const store of Object.values(stores)) store.vms.clear();
  hosts = { a: driverOf('a'), b: driverOf('b') };
  states = { a: await VmStates.open(join(dir, 'a')), b: await VmStates.open(join(dir, 'b')) };
  const { topology } = await hosts.a.boot(spec);
  await states.a.update('vm', () => ({ ...newVmState('vm', 't', 1), role: 'runner', topology }));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

/** Where a file of the VM is. */
const files = (): string[] => [...world.volumes.keys()].map((key) => key.split('/')[0]!).sort();
const base = (driver: HypervisorDriver, of: VmStates) => ({
  ...{ driver, states: of, log, now: Date.now, sleep: (ms: number) => sleep(ms) },
  at: async () => undefined,
});
/** Dies at its points, as with a kill -9: what comes behind them is never done. */
const targetOf = (at?: (point: string) => Promise<void>): TargetMoves =>
  new TargetMoves({
    ...base(hosts.b, states.b),
    ...(at ? { at } : {}),
    hostId: 'b',
    patienceMs: 60_000,
    removeFromHost: (vmId, made) => removeFromHost(hosts.b, pools, vmId, made),
  });
const prepare = async (target: TargetMoves) => {
  const { topology } = await hosts.a.status('vm');
  const copies = { volumes: topology.disks.map((d) => d.volume), withinMs: 120_000 };
  const request = { vmId: 'vm', tenant: 't', epoch: 2, moveId: 'm', topology, topologyHash: topologyHash(topology), copies };
  return { prepared: await target.prepare(request), copies, request };
};
const transfer = async (target: TargetMoves, meanwhile: (phase: string) => void = () => undefined): Promise<TransferResult> => {
  const { prepared, copies } = await prepare(target);
  const moves = new SourceMoves({ ...base(hosts.a, states.a), maxPauseMs: 5_000, stallMs: 5_000, askPeer: (_, r) => target.answer(r) });
  const now = Date.now();
  return moves.transfer(
    'vm',
    {
      ...{
        side: 'source',
        phase: 'transferring',
        moveId: 'm',
        taskKey: 'k',
        newEpoch: 2,
        targetHost: 'b',
        peerAddress: 'b',
        method: 'pre-copy',
      },
      ...{ migrationAddress: prepared.migrationAddress, peerToken: prepared.peerToken, downtimeLimitMs: 300, maxBandwidthMiBps: 1024 },
      copies: { volumes: copies.volumes, address: prepared.copyAddress! },
      ...{ startedAt: new Date(now).toISOString(), deadlineAt: new Date(now + 20_000).toISOString() },
    },
    { onProgress: (p) => meanwhile(p.phase) },
  );
};

test('a VM goes with its disk; the source’s file goes when it is released, also by an agent that died after it ended the process', async () => {
  const phases = new Set<string>();
  expect(await transfer(targetOf(), (p) => phases.add(p))).toMatchObject({ ok: true });
  expect(phases).toContain('disks');
  expect((await hosts.b.status('vm')).running).toBe(true);
  expect(files()).toEqual(['own@a', 'own@b']);
  const { topology } = states.a.get('vm')!;
  await hosts.a.destroy('vm', { deleteVolumes: false }); // and dies
  await removeFromHost(hosts.a, pools, 'vm', ownFiles(topology!));
  await removeFromHost(hosts.a, pools, 'vm', ownFiles(topology!));
  expect(files()).toEqual(['own@b']);
});

test('a target that goes in the middle of the copy: what it had made is deleted, and the guest runs with its own disk', async () => {
  const target = targetOf();
  let once = false;
  const result = await transfer(target, (phase) => {
    if (phase === 'disks' && !once) hosts.b.crash('vm');
    once = true;
  });
  expect(result).toMatchObject({ ok: false });
  await target.settle('vm');
  expect(states.b.get('vm')).toMatchObject({ role: 'none', move: { phase: 'never' } });
  expect(files()).toEqual(['own@a']);
  expect(await hosts.a.status('vm')).toMatchObject({ running: true, migrating: false });
});

test('a target’s agent that dies before its QEMU is there leaves a file that it knows of: the next life, or the end of the move, deletes it', async () => {
  const died = targetOf((point) => (point === 'prepare:recorded' ? Promise.reject(new Error('killed')) : Promise.resolve()));
  await expect(prepare(died)).rejects.toThrow('killed');
  const { volume } = (await hosts.a.status('vm')).topology.disks[0]!;
  await hosts.b.createVolume({ pool: 'own', volume, format: 'qcow2', sizeMiB: 512 });
  expect(files()).toEqual(['own@a', 'own@b']);
  await targetOf().discard('vm', 'm');
  expect(files()).toEqual(['own@a']);
});

test('it waits for as long as the copy may take', async () => {
  await prepare(targetOf());
  const { move } = states.b.get('vm')!;
  expect(Date.parse(move!.side === 'target' ? move!.deadlineAt : '')).toBeGreaterThan(Date.now() + 100_000);
});
