import type { PrepareTarget } from '../driver.ts';
import { HypervisorError } from '../errors.ts';
import type { Fleet } from './fleet.ts';
import { continueVm } from './incoming.ts';
import type { Launch } from './launch.ts';
import { queryStatus } from './migration.ts';
import type { Vm } from './vm.ts';

// A target that nothing comes to: its guest begins anew here, once it is over at the source.

/** Where another host's agent of before would look for a stream. */
export const COLD_ADDRESS = 'cold:';

export const isPrepared = (vm: Vm): boolean => vm.record.cold === true && vm.record.role === 'incoming' && !vm.alive;

export const prepareCold = async (
  fleet: Fleet,
  { vmId, topology, topologyHash }: PrepareTarget,
  how: () => Promise<Launch>,
): Promise<void> => {
  const existing = fleet.find(vmId);
  if (!existing) return void (await fleet.createCold(vmId, topology, await how()));
  const { role, cold, topologyHash: recorded } = existing.record;
  if (role !== 'incoming' || !cold || recorded !== topologyHash)
    throw new HypervisorError('hypervisor.vm_exists', `${vmId} is on this host in another role or shape`, { role, topologyHash: recorded });
  if (existing.alive) await fleet.withoutProcess(existing); // a driver that was lost while it looked whether it starts
};

/** What of the start is done already, by a driver that was lost in its middle, is not done again. */
export const startCold = async (fleet: Fleet, vm: Vm, how: () => Promise<Launch>): Promise<{ resumedAtUs: number }> => {
  const state = vm.alive ? (await queryStatus(vm.qmp))?.status : undefined;
  if (state === 'running') return began(vm, Date.now() * 1000); // since when is not known; now is the latest
  if (state === 'prelaunch') return began(vm, await continueVm(vm.qmp));
  const off = vm.alive ? await fleet.withoutProcess(vm) : vm;
  let resumedAtUs = 0;
  try {
    const started = await fleet.restart(off, await how(), async (v) => void (resumedAtUs = await continueVm(v.qmp)));
    return await began(started, resumedAtUs);
  } catch (error) {
    // Its process has ended, or `restart` would have thrown what it found in the way of that: it does not run.
    if (resumedAtUs > 0 || fleet.get(vm.vmId).alive) throw error;
    throw new HypervisorError('hypervisor.not_ready', `It could not be started: ${(error as Error).message}`);
  }
};

const began = async (vm: Vm, resumedAtUs: number): Promise<{ resumedAtUs: number }> => {
  await vm.save({ role: 'runner', resumedAtUs, cold: false });
  return { resumedAtUs };
};
