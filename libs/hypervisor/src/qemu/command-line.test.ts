import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { plugged } from '@chrysalis/contracts';
import type { Device, Topology } from '@chrysalis/contracts';
import { bootImage, bootSpec, uefiImage } from '../test/driver-contract/rig.ts';
import { dimmSlot, initialTopology } from '../shape.ts';
import { commandLine, dimmAddress, maxmemMiB } from './command-line.ts';
import type { HostSide } from './command-line.ts';

const MiB = 1024 * 1024;
const host = (dir: string): HostSide => ({
  name: 'vm-1',
  accelerator: 'tcg',
  kernel: { kernel: `${dir}/vmlinuz`, initrd: `${dir}/initrd` },
  volumePath: (pool, volume) => `${dir}/${pool}/${volume}`,
  netdev: (nic) => ({ type: 'tap', ifname: `tap-${nic.id}` }),
  socket: (name) => `${dir}/${name}.sock`,
  pidFile: `${dir}/qemu.pid`,
});
const small = (): Topology => initialTopology(bootSpec('vm-1'));
const devices: Device[] = [
  { kind: 'cpu', id: 'cpu1', coreId: 1 },
  { kind: 'memory', id: 'dimm0', sizeMiB: 128 },
  { kind: 'memory', id: 'dimm1', sizeMiB: 256 },
  { kind: 'nic', id: 'back', port: 5, mac: '52:54:00:00:07:0a', network: 'lan' },
];
/** The arguments after each `-name`. */
const options = (argv: readonly string[], name: string): string[] => argv.flatMap((a, i) => (argv[i - 1] === name ? [a] : []));

describe('command line of a topology', () => {
  test('is never one that migrates badly', () => {
    const argv = commandLine(small(), host('/h'), { incoming: true });
    expect(options(argv, '-cpu')).toEqual(['Westmere,enforce']);
    expect(options(argv, '-machine')).toEqual(['pc-q35-7.2']);
    expect(options(argv, '-incoming')).toEqual(['defer']);
    expect(argv).toEqual(expect.arrayContaining(['-S', '-only-migratable', '-nodefaults', '-no-user-config']));
    expect(argv.filter((a) => a.includes('"num-queues":1'))).toHaveLength(1);
    expect(argv.filter((a) => a.includes('pcie-root-port'))).toHaveLength(8);
    expect(options(argv, '-mon')).toHaveLength(2);
  });

  test('a VM of a disk image boots from its root disk and from nothing else', () => {
    const t = initialTopology(bootSpec('vm-1', { image: bootImage }));
    const argv = commandLine(t, { ...host('/h'), kernel: undefined }, { incoming: false });
    expect(argv.filter((a) => ['-kernel', '-initrd', '-append'].includes(a))).toEqual([]);
    expect(argv.filter((a) => a.includes('bootindex'))).toMatchObject([expect.stringContaining('"id":"disk-root"')]);
    expect(commandLine(small(), host('/h'), { incoming: false }).join(' ')).not.toContain('bootindex');
  });

  test('UEFI is two flashes, of which the guest writes the one with its own variables; a host without it says so', () => {
    const t = initialTopology(bootSpec('vm-1', { image: uefiImage }));
    const argv = commandLine(t, { ...host('/h'), kernel: undefined, uefi: '/ovmf/code' }, { incoming: true });
    expect(options(argv, '-machine')).toEqual(['pc-q35-7.2,pflash0=flash-code,pflash1=flash-variables']);
    const flashes = options(argv, '-blockdev').map((a) => JSON.parse(a) as { 'node-name': string });
    expect(flashes).toContainEqual(expect.objectContaining({ 'node-name': 'flash-code', 'read-only': true }));
    const variables = { filename: '/h/shared/vm-1.uefi.fd', locking: 'on' };
    expect(flashes).toContainEqual(expect.objectContaining({ 'read-only': false, file: expect.objectContaining(variables) }));
    const without = (): string[] => commandLine(t, { ...host('/h'), kernel: undefined }, { incoming: true });
    expect(without).toThrow(expect.objectContaining({ code: 'hypervisor.uefi_missing' }));
    expect(commandLine(small(), host('/h'), { incoming: false }).join(' ')).not.toContain('flash');
  });

  test('two hosts differ in paths alone', () => {
    const t = devices.reduce(plugged, small());
    const at = (dir: string): string[] => commandLine(t, host(dir), { incoming: false }).map((a) => a.replaceAll(dir, ''));
    expect(at('/host-one')).toEqual(at('/host-two'));
  });

  test('what was plugged is given with the same ids', () => {
    const argv = commandLine(devices.reduce(plugged, small()), host('/h'), { incoming: true });
    const given = options(argv, '-device').map((a) => JSON.parse(a) as Record<string, unknown>);
    expect(given).toContainEqual({
      driver: 'Westmere-x86_64-cpu',
      id: 'cpu-cpu1',
      'socket-id': 0,
      'die-id': 0,
      'core-id': 1,
      'thread-id': 0,
    });
    expect(given).toContainEqual({ driver: 'pc-dimm', id: 'dimm-dimm0', memdev: 'mem-dimm0', slot: 0, addr: 4096 * MiB });
    expect(given).toContainEqual({ driver: 'pc-dimm', id: 'dimm-dimm1', memdev: 'mem-dimm1', slot: 1, addr: (4096 + 768) * MiB });
  });

  test('commas in a path do not begin another option', () => {
    const argv = commandLine(small(), host('/with,comma'), { incoming: false });
    expect(argv.find((a) => a.startsWith('socket,id=mon0'))).toBe('socket,id=mon0,path=/with,,comma/qmp.sock,server=on,wait=off');
  });

  test('DIMMs never overlap, whatever was plugged and unplugged before, and stay where they are', () => {
    const sizes = fc.integer({ min: 1, max: 512 }).map((n) => n * 2);
    fc.assert(
      fc.property(
        fc.integer({ min: 64, max: 16_384 }),
        fc.integer({ min: 2, max: 8_192 }),
        fc.array(sizes, { maxLength: 4 }),
        (boot, room, dimms) => {
          const base = small();
          const t = { ...base, memory: { ...base.memory, bootMiB: boot, maxMiB: boot + room } };
          const placed = dimms
            .map((sizeMiB, i) => ({ from: dimmAddress(t, `dimm${i}`), to: dimmAddress(t, `dimm${i}`) + sizeMiB * MiB, sizeMiB }))
            .filter((d) => d.sizeMiB <= room);
          for (const a of placed) for (const b of placed) expect(a === b || a.to <= b.from || b.to <= a.from).toBe(true);
          for (const d of placed) expect(d.from % (2 * MiB)).toBe(0);
          expect(maxmemMiB(t)).toBeGreaterThanOrEqual(t.memory.maxMiB);
        },
      ),
    );
  });

  test('more memory than there are addresses is refused', () => {
    const base = small();
    const t = { ...base, memory: { ...base.memory, maxMiB: 300_000 } };
    expect(() => commandLine(t, host('/h'), { incoming: false })).toThrow(expect.objectContaining({ code: 'hypervisor.no_free_memory' }));
  });

  test('the slot of a DIMM is the number its id ends with', () => {
    expect(['dimm0', 'dimm3', 'a-5', 'plain'].map((id) => dimmSlot(small(), id))).toEqual([0, 3, 1, 0]);
  });
});
