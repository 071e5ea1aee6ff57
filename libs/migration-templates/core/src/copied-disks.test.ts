import { describe, expect, test } from '@jest/globals';
import {
  AGENT_DISK,
  agentVolume,
  diskSerial,
  SEED_DISK,
  topologyHash,
  volumeFile,
  type HostFacts,
  type Topology,
} from '@chrysalis/contracts';
import { compileMove } from './compile/compile-move.ts';
import { partedDisks } from './copied-disks.ts';
import { options } from './options.ts';
import { plan } from './plan.ts';
import { AT, facts, host, largeType, small, smallType, topology, vm } from './test/fixtures.ts';
import { everyShape, inputOf } from './test/shapes.ts';

const poolId = (n: number): string => `pool-0199c0de-0000-7000-8000-0000000000b${n}`;
const own = (hostId: string, n: number, change: Partial<HostFacts> = {}): HostFacts =>
  facts(hostId, {
    storagePools: ['shared', 'own'],
    localPools: ['own'],
    copiesDisks: true,
    methods: ['pre-copy', 'restart'],
    pools: [
      { name: 'shared', poolId: poolId(1), kind: 'folder' },
      { name: 'own', poolId: poolId(n), kind: 'folder' },
    ],
    ...change,
  });
const [h1, h2] = [own('h1', 2), own('h2', 3)];
const bare = topology(small);
const disk = (id: string, pool: string, change: Partial<Topology['disks'][number]> = {}) => ({
  ...{ id, port: 6, serial: diskSerial(id), sizeMiB: 64, format: 'qcow2' as const, pool, volume: `vm.${id}`, readOnly: false },
  ...change,
});
const local: Topology = { ...bare, disks: bare.disks.map((d) => ({ ...d, pool: 'own' })) };
const here = vm({ topology: local, topologyHash: topologyHash(local) });

describe('which disks are copied', () => {
  const parted = (t: Topology, source = h1, target = h2) => {
    const { copied, stuck } = partedDisks({ source, target }, t);
    return { copied: copied.map((d) => d.disk), stuck: stuck.map((d) => d.id) };
  };
  test('a VM’s own disk where both hosts have a pool of that name for themselves; what both see stays', () => {
    expect(parted({ ...local, disks: [...local.disks, disk('both', 'shared')] })).toEqual({ copied: ['data'], stuck: [] });
    expect(partedDisks({ source: h1, target: h2 }, local).copied[0]).toEqual({
      disk: 'data',
      pool: 'own',
      volume: 'vm.data',
      sizeMiB: 256,
      from: poolId(2),
    });
    expect(parted(bare)).toEqual({ copied: [], stuck: [] });
  });
  test('its seed and its variables of UEFI go along, the agent’s own disk is made anew', () => {
    const agent = disk(AGENT_DISK, 'own', { readOnly: true, volume: agentVolume(`sha256:${'a'.repeat(64)}`) });
    const t = {
      ...local,
      disks: [...local.disks, disk(SEED_DISK, 'own', { readOnly: true }), agent],
      uefi: { pool: 'own', volume: 'vm.fd' },
    };
    expect(parted(t)).toEqual({ copied: ['data', SEED_DISK, 'uefi'], stuck: [] });
  });
  test('not a volume of its own standing, nor where an end does not take part, or shares its pool with others', () => {
    const id = 'volume-0199c0de-0000-7000-8000-0000000000d1';
    expect(parted({ ...bare, disks: [disk(id, 'own', { volume: volumeFile(id) })] })).toEqual({ copied: [], stuck: [id] });
    const { copiesDisks: _, ...before } = h2;
    expect(parted(local, h1, before)).toEqual({ copied: [], stuck: ['data'] });
    const { localPools: __, ...shared } = h2;
    expect(parted(local, h1, shared)).toEqual({ copied: [], stuck: ['data'] });
  });
});

const hosts = [host('h1', { facts: h1 }), host('h2', { facts: h2 })];
test('an option says what is copied; by any other method it is refused with what to do', () => {
  const { options: offered, refused } = options([here], [smallType, largeType], hosts, new Map());
  expect(offered.find((o) => o.id === 'small@1/move/pre-copy/expose')).toMatchObject({
    copies: [{ vmId: 'vm-1', disk: 'data', sizeMiB: 256 }],
  });
  const other = refused.find((r) => r.id === 'small@1/move/restart/expose')!.blockers;
  expect(other.find((b) => b.code === 'option.copies_need_pre_copy')?.remedy).toMatch(/pre-copy/);
});

const template = {
  ref: { name: 't', version: 1 },
  spec: inputOf(everyShape.find((s) => inputOf(s).template.spec.migration.length > 0)!).template.spec,
  retired: false,
};
const asked = (room: number) => {
  const pools = new Map([
    [poolId(2), { poolId: poolId(2), name: 'own', capacityMiB: 1_000, heldMiB: 256 }],
    [poolId(3), { poolId: poolId(3), name: 'own', capacityMiB: room, heldMiB: 0 }],
  ]);
  const spec = { ...template.spec, sourceType: smallType.ref, options: { ...template.spec.options, targetType: smallType.ref } };
  const move = { ...spec, preMigration: [], hotUnplug: [], migration: spec.migration, hotPlug: [], postMigration: [] };
  const all = hosts.map((h) => ({ ...h, pools }));
  return plan({ planId: 'p', at: AT, template: { ...template, spec: move }, target: smallType, vms: [here], hosts: all, guests: new Map() })
    .moves[0]!;
};
test('a plan says what is copied, with a forecast; a pool without room for all of it is a finding with its remedy', () => {
  const { copies, blockers } = asked(256);
  expect(blockers).toEqual([]);
  expect(copies).toMatchObject([{ disk: 'data', pool: 'own', sizeMiB: 256, from: poolId(2), seconds: expect.any(Number) }]);
  const full = asked(255).blockers.find((b) => b.code === 'pool.capacity_exceeded');
  expect(full).toMatchObject({ subject: 'h2', remedy: expect.stringContaining('free 1 MiB') });
});

test('the move holds all of the disk at the target, makes it there and copies it, within a deadline that knows its size', () => {
  const input = inputOf(everyShape.find((s) => inputOf(s).template.spec.migration.length > 0)!);
  const t = { ...input.vm.topology, disks: input.vm.topology.disks.map((d) => ({ ...d, pool: 'own' })) };
  const { copied } = partedDisks({ source: h1, target: h2 }, t);
  const large = copied.map((d) => ({ ...d, sizeMiB: 1_000_000 }));
  const compiled = (some: typeof copied) =>
    compileMove({ ...input, vm: { ...input.vm, topology: t, topologyHash: topologyHash(t) }, copied: some }).definition;
  const task = (definition: ReturnType<typeof compiled>, name: string) => definition.tasks.find((x) => x.name === name)!;
  const definition = compiled(copied);
  const volumes = copied.map((d) => d.volume);
  expect(task(definition, 'prepare-target').input['copies']).toMatchObject({ volumes });
  expect(task(definition, 'transfer').input['copies']).toEqual({ volumes, address: '${tasks.prepare-target.output.copyAddress}' });
  expect(task(definition, 'hold-target').input['room']).toMatchObject([{ pool: 'own', from: poolId(2) }]);
  expect(task(compiled(large), 'transfer').deadlineMs).toBeGreaterThan(task(definition, 'transfer').deadlineMs);
  expect(compiled(large).deadlineMs!).toBeGreaterThan(task(compiled(large), 'transfer').deadlineMs);
  expect(task(compiled([]), 'transfer').input).not.toHaveProperty('copies');
});
