import { blockNode, fileNode } from '@chrysalis/contracts';
import type { Device } from '@chrysalis/contracts';
import { HypervisorError, hasCode } from '../errors.ts';
import type { QmpClient } from '../qmp.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { blockNodes, cpuDevice, dimmBackend, dimmDevice, diskDevice, nicDevice, serialChardev, serialDevice } from './command-line.ts';
import type { SerialPortSpec } from '../driver.ts';
import type { Vm } from './vm.ts';

type Undo = () => Promise<unknown>;

/** Steps of a plug; what was done is undone in reverse when a later one fails. */
const steps = async (work: (undo: (u: Undo) => void) => Promise<void>): Promise<void> => {
  const undos: Undo[] = [];
  try {
    await work((u) => undos.unshift(u));
  } catch (error) {
    for (const undo of undos) await undo().catch(() => undefined);
    throw error;
  }
};

/** QEMU's half of a plug. Whether the guest took it is asked in the guest. */
export const plugDevice = (vm: Vm, device: Device): Promise<void> => {
  switch (device.kind) {
    case 'cpu':
      return plugCpu(vm, device.id, device.coreId);
    case 'memory':
      return plugDimm(vm, device.id, device.sizeMiB);
    case 'disk':
      return plugDisk(vm, device);
    case 'nic':
      return plugNic(vm, device);
  }
};

const plugCpu = async (vm: Vm, id: string, coreId: number): Promise<void> => {
  await vm.qmp.execute('device_add', cpuDevice(vm.topology, id, coreId));
};

const plugDimm = (vm: Vm, id: string, sizeMiB: number): Promise<void> =>
  steps(async (undo) => {
    await vm.qmp.execute('object-add', dimmBackend(id, sizeMiB), 60_000);
    undo(() => vm.qmp.execute('object-del', { id: `mem-${id}` }));
    await vm.qmp.execute('device_add', dimmDevice(vm.topology, id));
  });

const plugDisk = (vm: Vm, disk: Extract<Device, { kind: 'disk' }>): Promise<void> =>
  steps(async (undo) => {
    if (await vm.parts.volumes.ensure(disk)) undo(() => vm.parts.volumes.delete(disk.pool, disk.volume));
    for (const node of blockNodes(disk, vm.parts.volumes.path(disk.pool, disk.volume))) {
      await vm.qmp.execute('blockdev-add', node).catch((error: unknown) => Promise.reject(locked(error)));
      undo(() => vm.qmp.execute('blockdev-del', { 'node-name': node['node-name'] }));
    }
    await vm.qmp.execute('device_add', diskDevice(disk)).catch((error: unknown) => Promise.reject(locked(error)));
  });

const plugNic = (vm: Vm, nic: Extract<Device, { kind: 'nic' }>): Promise<void> =>
  steps(async (undo) => {
    await vm.parts.networks.attach(vm.vmId, nic);
    undo(() => vm.parts.networks.detach(vm.vmId, nic.id));
    await vm.qmp.execute('netdev_add', netdevOf(vm, nic));
    undo(() => vm.qmp.execute('netdev_del', { id: `net-${nic.id}` }));
    await vm.qmp.execute('device_add', nicDevice(nic));
  });

const netdevOf = (vm: Vm, nic: Extract<Device, { kind: 'nic' }>): Record<string, unknown> => ({
  ...vm.parts.networks.netdev(vm.vmId, nic, vm.files.socket(`net-${nic.id}`)),
  id: `net-${nic.id}`,
});

export const plugPort = (vm: Vm, port: SerialPortSpec): Promise<void> =>
  steps(async (undo) => {
    const backend = serialChardev(vm.files.socket(`port-${port.id}`));
    await vm.qmp.execute('chardev-add', { id: `char-${port.id}`, backend });
    undo(() => vm.qmp.execute('chardev-remove', { id: `char-${port.id}` }));
    await vm.qmp.execute('device_add', serialDevice(port));
  });

export const isLockRefusal = (text: string): boolean => /Failed to get .* lock/.test(text);
export const locked = (error: unknown): unknown =>
  hasCode(error, 'hypervisor.qmp_refused') && isLockRefusal(error.message)
    ? new HypervisorError('hypervisor.volume_locked', `Another QEMU has the volume: ${error.message}`, error.detail)
    : error;

/** What QEMU calls the devices of a kind. */
export const qdevPrefix = { cpu: 'cpu-', memory: 'dimm-', disk: 'disk-', nic: 'nic-' } as const;
export const parseQdev = (qdev: string): { kind: Device['kind']; id: string } | { kind: 'port'; id: string } | undefined => {
  const m = /^(cpu|dimm|disk|nic|port)-(.+)$/.exec(qdev);
  return m ? { kind: m[1] === 'dimm' ? 'memory' : (m[1] as 'cpu' | 'disk' | 'nic' | 'port'), id: m[2]! } : undefined;
};

/** After the guest let go: the host's half of the device goes as well. A disk's volume stays. Repeatable. */
export const removeBackend = async (vm: Vm, { kind, id }: { kind: Device['kind'] | 'port'; id: string }): Promise<void> => {
  switch (kind) {
    case 'cpu':
      return;
    case 'memory':
      return gone(vm.qmp, 'object-del', { id: `mem-${id}` });
    case 'disk':
      await gone(vm.qmp, 'blockdev-del', { 'node-name': blockNode(id) });
      return gone(vm.qmp, 'blockdev-del', { 'node-name': fileNode(id) });
    case 'nic':
      await gone(vm.qmp, 'netdev_del', { id: `net-${id}` });
      return vm.parts.networks.detach(vm.vmId, id);
    case 'port':
      return gone(vm.qmp, 'chardev-remove', { id: `char-${id}` });
  }
};

/** DEVICE_DELETED comes a moment before QEMU has let go of the backend: asked again for 2 s. */
const gone = async (qmp: QmpClient, command: string, args: Record<string, unknown>): Promise<void> => {
  const until = performance.now() + 2_000;
  for (;;) {
    const error = await qmp.execute(command, args).then(
      () => undefined,
      (e: unknown) => e,
    );
    if (error === undefined) return;
    if (!hasCode(error, 'hypervisor.qmp_refused')) throw error;
    if (/not found|Failed to find|does not exist|Cannot find/i.test(error.message)) return;
    if (performance.now() > until) throw error;
    await sleep(10);
  }
};
