import { expect, test } from '@jest/globals';
import { AGENT_DISK, diskSerial, topologyHash, volumeFile, type Topology } from '@chrysalis/contracts';
import { failsafe } from './characterisation.ts';
import { compileMove } from './compile/compile-move.ts';
import { withoutRemoved, difference } from './difference.ts';
import { options } from './options.ts';
import { AT, facts, host, large, largeType, small, smallType, topology, vm } from './test/fixtures.ts';
import { everyShape, inputOf } from './test/shapes.ts';

const id = 'volume-0199c0de-0000-7000-8000-0000000000d1';
const bare = topology(small);
const withVolume = (pool: string) => ({
  ...bare,
  disks: [
    ...bare.disks,
    { id, port: 6, serial: diskSerial(id), sizeMiB: 64, format: 'qcow2' as const, pool, volume: volumeFile(id), readOnly: false },
  ],
});
const known = new Map([['vm-1', failsafe('vm-1', AT)]]);
const asked = (pool: string, local?: string[]) => {
  const pools = { storagePools: ['shared', 'local'], ...(local ? { localPools: local } : {}) };
  const hosts = ['h1', 'h2'].map((h) => host(h, { facts: facts(h, pools) }));
  return options([vm({ topology: withVolume(pool) })], [smallType, largeType], hosts, known);
};

test('a VM takes its attached volume along, whatever its types say of disks', () => {
  expect(difference({ topology: withVolume('shared'), spec: small }, large)).toMatchObject({ disksRemoved: [], disksAdded: [] });
  expect(
    withoutRemoved(withVolume('shared'), difference({ topology: withVolume('shared'), spec: small }, large), true).disks.map((d) => d.id),
  ).toContain(id);
  expect(asked('shared', ['local']).options.map((o) => o.id)).toEqual(['small@1/move/pre-copy/expose']);
});

test('of a volume in a pool that only its host sees no move is offered; the code says which disk', () => {
  const { refused } = asked('local', ['local']);
  const blockers = refused.find((r) => r.id === 'small@1/move/pre-copy/expose')!.blockers;
  expect(blockers.map((b) => b.code)).toEqual(['host.pool_local']);
  expect(blockers[0]!.message).toContain(id);
  expect(asked('local').options).toHaveLength(1); // an agent of before does not say which pools those are
});

test.each(everyShape.filter((s) => s.guest && !s.restarts).map((s) => [s.name, s] as const))(
  '%s: the guest is to show its volume afterwards, at its size, and not the disk that its agent came on',
  (_, shape) => {
    const input = inputOf(shape);
    const before = input.vm.topology;
    const [volume, agent] = [id, AGENT_DISK].map((disk, i) => ({
      ...{ id: disk, port: 6 + i, serial: diskSerial(disk), sizeMiB: 64, format: 'raw' as const, pool: 'shared' },
      ...{ volume: `${disk}.file`, readOnly: disk === AGENT_DISK },
    }));
    const topology: Topology = { ...before, disks: [...before.disks, volume!, agent!] };
    const { definition } = compileMove({ ...input, vm: { ...input.vm, topology, topologyHash: topologyHash(topology) } });
    const { disks } = definition.tasks.find((t) => t.name === 'verify-guest')!.input['expect'] as { disks: { serial: string }[] };
    expect(disks).toContainEqual({ serial: diskSerial(id), minBytes: 64 * 1_048_576 });
    expect(disks.map((d) => d.serial)).not.toContain(diskSerial(AGENT_DISK));
  },
);
