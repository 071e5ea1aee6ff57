import { queryStatus } from './migration.ts';
import type { Vm } from './vm.ts';

/** QEMU says that a migration has completed a moment before its own state does: at `finish-migrate` the target may run already. */
const leaves = new Set(['finish-migrate', 'postmigrate']);

/** A target that was not resumed, and a source whose state went away, look at disks that another host's QEMU runs on. */
export const ownsVolumes = async (vm: Vm): Promise<boolean> => {
  if (vm.record.role !== 'runner' || vm.record.givenAway) return false;
  return !vm.connected || !leaves.has((await queryStatus(vm.qmp))?.status ?? '');
};
