import { describe, expect, test } from '@jest/globals';
import { plugged, resized, unplugged, type Topology } from '@chrysalis/contracts';
import { HypervisorError } from '../errors.ts';
import type { QmpClient } from '../qmp.ts';
import { cpuTypeName, dimmAddress } from './command-line.ts';
import { assertObserved, observeChange } from './observe.ts';

const before: Topology = {
  uuid: '01900000-0000-7000-8000-000000000001',
  machine: 'pc-q35-7.2',
  cpuModel: 'Westmere',
  vcpus: { boot: 1, max: 4, plugged: [] },
  memory: { bootMiB: 512, slots: 4, maxMiB: 2048, dimms: [] },
  rootPorts: 8,
  disks: [{ id: 'data', port: 0, serial: 'data', sizeMiB: 128, format: 'qcow2', pool: 'shared', volume: 'v', readOnly: false }],
  nics: [
    { id: 'front', port: 1, mac: '52:54:00:00:00:01', network: 'front' },
    { id: 'legacy', port: 2, mac: '52:54:00:00:00:02', network: 'legacy' },
  ],
  serialPorts: [{ id: 'qga', nr: 1, name: 'org.qemu.guest_agent.0' }],
  image: { name: 'linux', version: 1, digest: `sha256:${'0'.repeat(64)}`, cmdline: '' },
};
const MiB = 1024 * 1024;

/** Answers as a QEMU with this hardware does, and notes what it is asked. */
const qemuWith = (t: Topology) => {
  const asked: string[] = [];
  const device = (path: string): Record<string, unknown> | undefined => {
    const [, kind, id] = /peripheral\/(disk|nic|port)-(.+)$/.exec(path) ?? [];
    const found = { disk: t.disks, nic: t.nics, port: t.serialPorts }[kind as 'disk']?.find((d) => d.id === id);
    return found && { ...found, parent_bus: `/machine/peripheral/rp${found.port}/rp${found.port}` };
  };
  const answers: Record<string, (args: Record<string, string>) => unknown> = {
    'query-hotpluggable-cpus': () =>
      Array.from({ length: t.vcpus.max }, (_, i) => {
        const cpu = t.vcpus.plugged.find((c) => c.coreId === i);
        const path = i < t.vcpus.boot ? '/machine/unattached/device[0]' : cpu && `/machine/peripheral/cpu-${cpu.id}`;
        return { type: cpuTypeName(t.cpuModel), props: { 'core-id': i }, ...(path ? { 'qom-path': path } : {}) };
      }),
    'query-memory-devices': () =>
      t.memory.dimms.map((d) => ({ type: 'dimm', data: { id: `dimm-${d.id}`, size: d.sizeMiB * MiB, addr: dimmAddress(t, d.id) } })),
    'query-block': () =>
      t.disks.map((d) => ({
        qdev: `/machine/peripheral/disk-${d.id}/virtio-backend`,
        inserted: { drv: d.format, ro: d.readOnly, image: { filename: `/${d.pool}/${d.volume}`, 'virtual-size': d.sizeMiB * MiB } },
      })),
    'qom-list': () =>
      [...t.nics.map((n) => `nic-${n.id}`), ...t.disks.map((d) => `disk-${d.id}`)].map((name) => ({ name, type: 'child<x>' })),
    'qom-get': ({ path, property }) => device(path!)?.[property!],
  };
  const execute = async (command: string, args: Record<string, string> = {}): Promise<unknown> => {
    asked.push(command);
    const answer = answers[command]!(args);
    if (answer === undefined) throw new HypervisorError('hypervisor.qmp_refused', `${args['path']} not found`, {});
    return answer;
  };
  return { qmp: { execute } as unknown as QmpClient, asked };
};
const seenBy = (shown: Topology, expected: Topology) =>
  observeChange(qemuWith(shown).qmp, before, expected, (pool, volume) => `/${pool}/${volume}`);

const nic = { kind: 'nic' as const, id: 'new', port: 3, mac: '52:54:00:00:00:03', network: 'front' };
const changes: Record<string, [Topology, string[]]> = {
  'a CPU': [plugged(before, { kind: 'cpu', id: 'cpu1', coreId: 1 }), ['query-hotpluggable-cpus']],
  'a DIMM': [plugged(before, { kind: 'memory', id: 'dimm0', sizeMiB: 512 }), ['query-memory-devices']],
  'a grown disk': [resized(before, 'data', 256), ['qom-get', 'qom-get', 'query-block']],
  'a new NIC': [plugged(before, nic), ['qom-get', 'qom-get']],
  'a NIC that went': [unplugged(before, { kind: 'nic', id: 'legacy' }), ['qom-list']],
};

describe.each(Object.entries(changes))('%s', (_, [expected, questions]) => {
  test('is seen, and nothing else is asked', async () => {
    const { qmp, asked } = qemuWith(expected);
    const seen = await observeChange(qmp, before, expected, (pool, volume) => `/${pool}/${volume}`);
    expect(seen).toEqual(expected);
    expect(asked.sort()).toEqual(questions);
  });
  test('that QEMU does not show is a mismatch', async () => {
    const seen = await seenBy(before, expected);
    expect(() => assertObserved(expected, seen)).toThrow(expect.objectContaining({ code: 'hypervisor.topology_mismatch' }));
  });
});

test('a DIMM elsewhere, a NIC on another port or with another address: each is seen', async () => {
  const dimms = plugged(before, { kind: 'memory', id: 'dimm0', sizeMiB: 512 });
  await expect(seenBy(plugged(before, { kind: 'memory', id: 'dimm1', sizeMiB: 512 }), dimms)).resolves.not.toEqual(dimms);
  const expected = plugged(before, nic);
  for (const other of [{ port: 4 }, { mac: '52:54:00:00:00:09' }])
    expect(await seenBy(plugged(before, { ...nic, ...other }), expected)).not.toEqual(expected);
});
