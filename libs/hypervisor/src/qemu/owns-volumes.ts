import { queryStatus } from './migration.ts';
import type { Vm } from './vm.ts';

/** A target that was not resumed, and a source whose state went away, look at disks that another host's QEMU runs on. */
export const ownsVolumes = async (vm: Vm): Promise<boolean> => {
  if (vm.record.role !== 'runner' || vm.record.givenAway) return false;
  return !vm.connected || (await queryStatus(vm.qmp))?.status !== 'postmigrate';
};
