import { blockNode, plugged, resized, unplugged, vcpusOf } from '@chrysalis/contracts';
import type { Device, Topology } from '@chrysalis/contracts';
import type { DeviceRef, SerialPortSpec, Shaped } from '../driver.ts';
import { HypervisorError } from '../errors.ts';
import { assertPlug, assertResize, assertSerialPlug, assertUnplug } from '../shape.ts';
import { parseQdev, plugDevice, plugPort, qdevPrefix, removeBackend } from './devices.ts';
import { deletedQdev, requestUnplug } from './unplug.ts';
import type { Vm } from './vm.ts';

/** Plugged, and seen in QEMU. The same device again is an answer, another one of the same id a conflict. */
export const plug = async (vm: Vm, device: Device): Promise<Shaped> => {
  if (!assertPlug(vm.topology, device)) return vm.verified(vm.topology);
  await plugDevice(vm, device);
  return vm.verified(plugged(vm.topology, device));
};

/**
 * Written down before it is asked for: one too many ends the process, and its guest. Never fewer than were started: a plug that fails, or
 * is said twice, is counted as one as well.
 */
export const spendCpuThread = async (vm: Vm, device: Device): Promise<void> => {
  if (!assertPlug(vm.topology, device)) return;
  const { max } = vm.topology.vcpus;
  const started = vm.record.cpuThreads ?? vcpusOf(vm.topology); // begun by an agent that did not count, and that unplugged none
  if (started >= max)
    throw new HypervisorError('hypervisor.cpu_threads_spent', `This QEMU process has started ${started} CPUs, and can start no more`, {
      started,
      max,
    });
  await vm.save({ cpuThreads: started + 1 });
};

export const unplug = async (vm: Vm, device: DeviceRef, deadlineMs: number): Promise<Shaped> => {
  if (!assertUnplug(vm.topology, device)) return vm.verified(vm.topology);
  await requestUnplug(vm, `${qdevPrefix[device.kind]}${device.id}`, deadlineMs);
  return forget(vm, device);
};

export const plugSerialPort = async (vm: Vm, port: SerialPortSpec): Promise<Shaped> => {
  if (!assertSerialPlug(vm.topology, port)) return vm.verified(vm.topology);
  await plugPort(vm, port);
  return vm.verified({ ...vm.topology, serialPorts: [...vm.topology.serialPorts, port] });
};

export const unplugSerialPort = async (vm: Vm, id: string, deadlineMs: number): Promise<Shaped> => {
  if (!vm.topology.serialPorts.some((p) => p.id === id)) return vm.verified(vm.topology);
  await requestUnplug(vm, `port-${id}`, deadlineMs);
  return forget(vm, { kind: 'port', id });
};

export const resizeDisk = async (vm: Vm, disk: string, sizeMiB: number): Promise<Shaped> => {
  if (!assertResize(vm.topology, disk, sizeMiB)) return vm.verified(vm.topology);
  await vm.qmp.execute('block_resize', { 'node-name': blockNode(disk), size: sizeMiB * 1024 * 1024 }, 60_000);
  return vm.verified(resized(vm.topology, disk, sizeMiB));
};

type Gone = DeviceRef | { kind: 'port'; id: string };
const without = (t: Topology, d: Gone): Topology =>
  d.kind === 'port' ? { ...t, serialPorts: t.serialPorts.filter((p) => p.id !== d.id) } : unplugged(t, d);

const forget = async (vm: Vm, device: Gone): Promise<Shaped> => {
  await removeBackend(vm, device);
  return vm.verified(without(vm.topology, device));
};

/**
 * A guest may let go long after the deadline, or at a reset: then too the backend goes and the record says so. An unplug that
 * is waiting for the same event holds the mutex, so that nothing is left to do here when its turn comes.
 */
export const followLateUnplugs = (vm: Vm): void => {
  vm.qmp.on((event) => {
    const device = parseQdev(deletedQdev(event) ?? '');
    if (!device) return;
    void vm.mutex
      .runExclusive(async () => {
        const known = device.kind === 'port' ? vm.topology.serialPorts.some((p) => p.id === device.id) : assertUnplug(vm.topology, device);
        if (known && vm.connected) await forget(vm, device);
      })
      .catch((error: unknown) => {
        // The next `topology` or `plug` compares again and says what is wrong.
        if (!(error instanceof HypervisorError)) throw error;
      });
  });
};
