import { plugged, resized, unplugged, type Device } from '@chrysalis/contracts';
import type { DeviceRef, Shaped } from '../driver.ts';
import { assertPlug, assertResize, assertUnplug } from '../shape.ts';
import { assertOwn } from './power.ts';
import type { Vm } from './vm.ts';

/** A volume or a NIC of a VM that has no process is given and taken, a volume grown, for its next start: its record is its hardware. */
export const isOff = (vm: Vm): boolean => !vm.alive;

export const plugOff = async (vm: Vm, device: Device): Promise<Shaped> => {
  assertOwn(vm);
  if (!assertPlug(vm.topology, device)) return vm.shaped;
  if (device.kind === 'disk') await vm.parts.volumes.assertVolume(device);
  await vm.saveTopology(plugged(vm.topology, device));
  return vm.shaped;
};

export const unplugOff = async (vm: Vm, device: DeviceRef): Promise<Shaped> => {
  assertOwn(vm);
  if (assertUnplug(vm.topology, device)) await vm.saveTopology(unplugged(vm.topology, device));
  return vm.shaped;
};

/** The file first: a record that says less than there is is made true by the same again. */
export const resizeOff = async (vm: Vm, id: string, sizeMiB: number): Promise<Shaped> => {
  assertOwn(vm);
  if (!assertResize(vm.topology, id, sizeMiB)) return vm.shaped;
  const { pool, volume, format } = vm.topology.disks.find((d) => d.id === id)!;
  await vm.parts.volumes.grow({ pool, volume, format, sizeMiB });
  await vm.saveTopology(resized(vm.topology, id, sizeMiB));
  return vm.shaped;
};
