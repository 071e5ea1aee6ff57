import { blockNode, bootOrderOf, fileNode } from '@chrysalis/contracts';
import type { Topology } from '@chrysalis/contracts';
import { dimmSlot, MAX_SERIAL_NR } from '../shape.ts';
import { HypervisorError, noUefi } from '../errors.ts';

export type KernelFiles = { readonly kernel: string; readonly initrd: string };
/** Where the parts that are not hardware are on this host. */
export type HostSide = {
  readonly name: string;
  readonly accelerator: 'kvm' | 'tcg';
  /** Of a VM whose image is a kernel. */
  readonly kernel: KernelFiles | undefined;
  /** The code of UEFI on this host, of a VM that boots by it. */
  readonly uefi?: string | undefined;
  readonly volumePath: (pool: string, volume: string) => string;
  readonly netdev: (nic: Nic) => Record<string, unknown>;
  readonly socket: (name: 'qmp' | 'qmp-spare' | 'console' | `port-${string}`) => string;
  readonly pidFile: string;
};

const json = (value: unknown): string => JSON.stringify(value);
const MiB = 1024 * 1024;
const GiB = 1024 * MiB;
/** 1 TiB is what a CPU of 40 address bits, TCG's default, can see. */
const ADDRESSABLE_MIB = 1024 * 1024;

/** The id of a VM's display, where it has one. */
export const SCREEN = 'screen';

export const cpuTypeName = (model: string): string => `${model}-x86_64-cpu`;
const cpuProperties = (coreId: number): Record<string, number> => ({
  'socket-id': 0,
  'die-id': 0,
  'core-id': coreId,
  'thread-id': 0,
});

/** Each slot has its own stretch of addresses, wide enough for the largest DIMM there can be. */
const slotMiB = ({ memory }: Topology): number => Math.max(2, Math.ceil((memory.maxMiB - memory.bootMiB) / 2) * 2);
export const maxmemMiB = (t: Topology): number => {
  const max = t.memory.bootMiB + t.memory.slots * slotMiB(t);
  if (max > ADDRESSABLE_MIB)
    throw new HypervisorError('hypervisor.no_free_memory', `${t.memory.slots} slots of ${slotMiB(t)} MiB do not fit in 1 TiB of addresses`);
  return max;
};

/** Where q35 begins its hot-plug region: above the RAM beyond 4 GiB, rounded up to 1 GiB. Asserted against QEMU at each plug. */
export const dimmAddress = (t: Topology, id: string): number => {
  const boot = t.memory.bootMiB * MiB;
  const above4G = boot >= 2816 * MiB ? boot - 2 * GiB : 0;
  const base = Math.ceil((4 * GiB + above4G) / GiB) * GiB;
  return base + dimmSlot(t, id) * slotMiB(t) * MiB;
};

export const dimmBackend = (id: string, sizeMiB: number): Record<string, unknown> => ({
  'qom-type': 'memory-backend-ram',
  id: `mem-${id}`,
  size: sizeMiB * MiB,
});
export const dimmDevice = (t: Topology, id: string): Record<string, unknown> => ({
  driver: 'pc-dimm',
  id: `dimm-${id}`,
  memdev: `mem-${id}`,
  slot: dimmSlot(t, id),
  addr: dimmAddress(t, id),
});

export const cpuDevice = (t: Topology, id: string, coreId: number): Record<string, unknown> => ({
  driver: cpuTypeName(t.cpuModel),
  id: `cpu-${id}`,
  ...cpuProperties(coreId),
});

type Disk = Topology['disks'][number];
export const blockNodes = (disk: Disk, filename: string): [file: Record<string, unknown>, format: Record<string, unknown>] => [
  // `locking: on`: two running copies of a VM on one image are refused by QEMU, whatever we got wrong.
  {
    driver: 'file',
    'node-name': fileNode(disk.id),
    filename,
    locking: 'on',
    discard: 'unmap',
    'read-only': disk.readOnly,
    'auto-read-only': false,
  },
  {
    driver: disk.format,
    'node-name': blockNode(disk.id),
    file: fileNode(disk.id),
    discard: 'unmap',
    'read-only': disk.readOnly,
    'auto-read-only': false,
  },
];
// One queue, said aloud: the default is one a vCPU, and a target with other vCPUs would not load it.
export const diskDevice = (disk: Disk): Record<string, unknown> => ({
  driver: 'virtio-blk-pci',
  id: `disk-${disk.id}`,
  bus: `rp${disk.port}`,
  drive: blockNode(disk.id),
  serial: disk.serial,
  'num-queues': 1,
});

/** The firmware boots from what is named, mostly the root disk, and looks no further: the loader that another disk may have is not for it. */
const bootOrder = (t: Topology, id: string): { bootindex?: number } => {
  const at = bootOrderOf(t).indexOf(id);
  return at < 0 ? {} : { bootindex: at + 1 };
};
/** A NIC may have the name of a disk, which is then meant. */
const nicOrder = (t: Topology, { id }: Topology['nics'][number]) => (t.disks.some((d) => d.id === id) ? {} : bootOrder(t, id));

/** The nodes of UEFI's flash: its code, which no guest writes, and the variables that each VM has for itself. */
const FLASH_CODE = 'flash-code';
export const FLASH_VARIABLES = 'flash-variables';
const flash = (name: string, filename: string, readOnly: boolean): string[] => {
  const both = { 'read-only': readOnly, 'auto-read-only': false };
  // QEMU locks what it writes: two running copies of a VM on one file of variables are refused, as on a disk.
  const file = { driver: 'file', filename, locking: readOnly ? 'off' : 'on', ...both };
  return ['-blockdev', json({ driver: 'raw', 'node-name': name, ...both, file })];
};
const machine = (t: Topology): string => t.machine + (t.uefi ? `,pflash0=${FLASH_CODE},pflash1=${FLASH_VARIABLES}` : '');
const firmware = ({ uefi }: Topology, host: HostSide): string[] => {
  if (!uefi) return [];
  if (!host.uefi) throw noUefi();
  return [...flash(FLASH_CODE, host.uefi, true), ...flash(FLASH_VARIABLES, host.volumePath(uefi.pool, uefi.volume), false)];
};

type Nic = Topology['nics'][number];
export const nicDevice = (nic: Nic): Record<string, unknown> => ({
  driver: 'virtio-net-pci',
  id: `nic-${nic.id}`,
  bus: `rp${nic.port}`,
  netdev: `net-${nic.id}`,
  mac: nic.mac,
  // What its guest takes for the size of its frames, also where it asks nobody.
  ...(nic.segment ? { host_mtu: nic.segment.mtu } : {}),
  romfile: '',
});

type SerialPort = Topology['serialPorts'][number];
export const serialChardev = (path: string): Record<string, unknown> => ({
  type: 'socket',
  data: { addr: { type: 'unix', data: { path } }, server: true, wait: false },
});
export const serialDevice = (port: SerialPort): Record<string, unknown> => ({
  driver: 'virtserialport',
  id: `port-${port.id}`,
  bus: 'vserial.0',
  nr: port.nr,
  chardev: `char-${port.id}`,
  name: port.name,
});

/** QEMU's option syntax doubles commas. */
const escaped = (text: string): string => text.replaceAll(',', ',,');
const socketChardev = (id: string, path: string): string => `socket,id=${id},path=${escaped(path)},server=on,wait=off`;

const rootPorts = (count: number): string[] =>
  Array.from({ length: count }, (_, i) => i).flatMap((i) => [
    '-device',
    json({
      driver: 'pcie-root-port',
      id: `rp${i}`,
      bus: 'pcie.0',
      chassis: i + 1,
      slot: i + 1,
      addr: `${(3 + (i >> 3)).toString(16)}.${i & 7}`,
      multifunction: (i & 7) === 0,
    }),
  ]);

/**
 * QEMU's arguments, from the topology and this host's paths alone. What the guest can see comes from the topology and nowhere
 * else, so that two hosts make the same machine. Always starts paused; `incoming` waits for `migrate-incoming`.
 */
export const commandLine = (t: Topology, host: HostSide, { incoming }: { incoming: boolean }): string[] => {
  const { boot, max } = t.vcpus;
  return [
    ['-name', `guest=${escaped(host.name)},debug-threads=on`, '-uuid', t.uuid],
    ['-nodefaults', '-no-user-config', '-display', 'none', '-only-migratable', '-S'],
    // Who ended it is in its last words, also where nobody listens; a QEMU that has no such event says so, and starts.
    ['-trace', 'enable=qemu_system_shutdown_request'],
    firmware(t, host),
    ['-machine', machine(t), '-accel', host.accelerator === 'tcg' ? 'tcg,tb-size=256' : 'kvm'],
    ['-cpu', `${t.cpuModel},enforce`],
    ['-smp', `cpus=${boot},maxcpus=${max},sockets=1,dies=1,cores=${max},threads=1`],
    ['-m', `size=${t.memory.bootMiB}M,slots=${t.memory.slots},maxmem=${maxmemMiB(t)}M`],
    host.kernel ? ['-kernel', host.kernel.kernel, '-initrd', host.kernel.initrd, '-append', t.image.cmdline] : [],
    // The host agent's, which keeps the last of it: what a guest writes must not fill the host's disk.
    ['-chardev', socketChardev('console', host.socket('console')), '-serial', 'chardev:console'],
    t.image.display ? ['-device', json({ driver: 'VGA', id: SCREEN, bus: 'pcie.0', addr: '1.0' })] : [],
    ['-chardev', socketChardev('mon0', host.socket('qmp')), '-mon', 'chardev=mon0,mode=control'],
    ['-chardev', socketChardev('mon1', host.socket('qmp-spare')), '-mon', 'chardev=mon1,mode=control'],
    ['-pidfile', host.pidFile],
    rootPorts(t.rootPorts),
    ['-device', json({ driver: 'virtio-serial-pci', id: 'vserial', bus: 'pcie.0', addr: '2.0', max_ports: MAX_SERIAL_NR + 1 })],
    t.serialPorts.flatMap((p) => [
      '-chardev',
      socketChardev(`char-${p.id}`, host.socket(`port-${p.id}`)),
      '-device',
      json(serialDevice(p)),
    ]),
    t.disks.flatMap((d) => {
      const nodes = blockNodes(d, host.volumePath(d.pool, d.volume));
      return [...nodes.flatMap((n) => ['-blockdev', json(n)]), '-device', json({ ...diskDevice(d), ...bootOrder(t, d.id) })];
    }),
    t.nics.flatMap((n) => [
      '-netdev',
      json({ ...host.netdev(n), id: `net-${n.id}` }),
      '-device',
      json({ ...nicDevice(n), ...nicOrder(t, n) }),
    ]),
    t.memory.dimms.flatMap((d) => ['-object', json(dimmBackend(d.id, d.sizeMiB)), '-device', json(dimmDevice(t, d.id))]),
    t.vcpus.plugged.flatMap((c) => ['-device', json(cpuDevice(t, c.id, c.coreId))]),
    incoming ? ['-incoming', 'defer'] : [],
  ].flat();
};
