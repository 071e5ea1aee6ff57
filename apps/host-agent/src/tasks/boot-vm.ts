import { rm } from 'node:fs/promises';
import { hostTasks, type Seed } from '@chrysalis/contracts';
import type { BootSpec } from '@chrysalis/hypervisor';
import { mibOf } from '@chrysalis/service-kit/images';
import type { Handler, TaskRun } from '../execution/handler.ts';
import { fetchSeed, type EnsureDisk, type FromDepot } from '../images/from-depot.ts';
import { TaskFailure } from '../execution/task-failure.ts';
import { handler, notBelow, stale, timeLeft, type Admit, type HandlerContext } from './handler-context.ts';

const admit: Admit = (state, input) => {
  notBelow(state, input);
  if (state && state.role !== 'none' && state.role !== 'runner')
    throw new TaskFailure('host.vm_present', `${input.vmId} is here, as ${state.role}`);
  if (state?.role === 'runner' && state.epoch !== input.epoch) throw stale(state, input.epoch, 'runs here at another');
};

/**
 * A first boot that fails leaves nothing: a task that never succeeded is not compensated by anyone else. A VM that ran here once has
 * data, and is left as it is.
 */
export const bootVm = (context: HandlerContext & FromDepot, ensure: EnsureDisk): Handler =>
  handler(hostTasks.bootVm, admit, async ({ vmId, epoch, uuid, spec, image, nics, pool, allocation, waitForGuest, seed }, run) => {
    await context.states.update(vmId, (s) => ({ ...s!, role: 'runner', epoch, floor: epoch }));
    try {
      await ensure(image, run);
      const boots = { vmId, uuid, spec, image, nics, pool, allocation, signal: run.signal };
      const shaped = await withSeed(context, seed, run, (given) => context.driver.boot({ ...boots, ...given }));
      if (waitForGuest) await context.guests.waitUntilUp(vmId, timeLeft(run, context.now()));
      await context.states.update(vmId, (s) => ({ ...s!, booted: true }));
      return { ...shaped, bootedAt: new Date(context.now()).toISOString() };
    } catch (error) {
      if (!context.states.get(vmId)?.booted) await removeVm(context, vmId, true);
      throw error;
    }
  });

/** What is told to a guest is in this host's hands for as long as it takes to copy it to a volume of the VM. */
const withSeed = async <T>(
  context: HandlerContext & FromDepot,
  seed: Seed | undefined,
  run: TaskRun,
  work: (given: Pick<BootSpec, 'seed'>) => Promise<T>,
): Promise<T> => {
  if (!seed) return work({});
  const sizeMiB = mibOf(seed.bytes);
  if (context.config.driver === 'simulated') return work({ seed: { file: '', sizeMiB } });
  const file = await fetchSeed(context, seed, run);
  return work({ seed: { file, sizeMiB } }).finally(() => rm(file, { force: true }));
};

export const removeVm = async (context: HandlerContext, vmId: string, deleteVolumes: boolean): Promise<void> => {
  context.guests.forget(vmId);
  await context.driver.destroy(vmId, { deleteVolumes });
  await forgetVm(context, vmId);
};

/** What stays is epoch and tokens: a late command for the VM is still refused. */
export const forgetVm = async ({ states }: Pick<HandlerContext, 'states'>, vmId: string): Promise<void> => {
  await states.update(vmId, (state) => {
    if (!state) return undefined;
    const { topology: _, topologyHash: __, booted: ___, ...rest } = state;
    return { ...rest, role: 'none' };
  });
};
