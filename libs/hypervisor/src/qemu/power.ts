import type { Shaped } from '../driver.ts';
import { HypervisorError } from '../errors.ts';
import { continueVm } from './incoming.ts';
import { queryStatus } from './migration.ts';
import type { Vm } from './vm.ts';

const stateOf = async (vm: Vm): Promise<string> => {
  assertOwn(vm);
  return (await queryStatus(vm.qmp))?.status ?? 'silent';
};

/** Neither a target that waits nor a source that was given away is ours to start or to end so: other hosts run on these disks. */
export const assertOwn = ({ vmId, record: { role, givenAway } }: Vm): void => {
  if (role !== 'runner' || givenAway === true)
    throw new HypervisorError('hypervisor.not_ready', `${vmId} does not run here`, { role, givenAway });
};
const otherwise = ({ vmId }: Vm, state: string): HypervisorError =>
  new HypervisorError('hypervisor.not_ready', `${vmId} is ${state}`, { state });

/** The process stands and its guest is over: what it had in memory is nobody's any more, and QEMU itself refuses to continue it. */
const OVER = new Set(['shutdown', 'guest-panicked', 'internal-error']);

/**
 * What is left to be done where the process stands. A driver that was lost in the middle of a start leaves one before its first instruction.
 * `undefined`: its guest is over, and a process of its own has to begin.
 */
export const startedAlready = async (vm: Vm): Promise<Shaped | undefined> => {
  const state = await stateOf(vm);
  if (OVER.has(state)) return undefined;
  if (state === 'prelaunch') await continueVm(vm.qmp);
  else if (state !== 'running') throw otherwise(vm, state);
  return vm.verified(vm.topology);
};

export const pause = async (vm: Vm): Promise<void> => {
  const state = await stateOf(vm);
  if (state === 'running') await vm.qmp.execute('stop');
  else if (state !== 'paused') throw otherwise(vm, state);
};
export const unpause = async (vm: Vm): Promise<void> => {
  const state = await stateOf(vm);
  // Its CPUs were stopped, or a disk took no more: what failed there is written again.
  if (state === 'paused' || state === 'io-error') await continueVm(vm.qmp);
  else if (state !== 'running') throw otherwise(vm, state);
};

type Block = { readonly qdev?: string; readonly 'io-status'?: 'ok' | 'failed' | 'nospace' };
/** Read anew each time: it is so also where nobody was there when it happened. */
export const starvedDisks = async ({ qmp }: Vm): Promise<readonly string[]> => {
  if ((await queryStatus(qmp))?.status !== 'io-error') return [];
  const blocks = await qmp.execute<Block[]>('query-block');
  return blocks.flatMap((b) => (b['io-status'] === 'nospace' ? (/\/disk-([^/]+)\//.exec(b.qdev ?? '')?.[1] ?? []) : []));
};
