import { hostTasks } from '@chrysalis/contracts';
import type { Handler } from '../execution/handler.ts';
import type { EnsureDisk } from '../images/from-depot.ts';
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
export const bootVm = (context: HandlerContext, ensure: EnsureDisk): Handler =>
  handler(hostTasks.bootVm, admit, async ({ vmId, epoch, uuid, spec, image, nics, pool, waitForGuest }, run) => {
    await context.states.update(vmId, (s) => ({ ...s!, role: 'runner', epoch, floor: epoch }));
    try {
      await ensure(image, run);
      const shaped = await context.driver.boot({ vmId, uuid, spec, image, nics, pool, signal: run.signal });
      if (waitForGuest) await context.guests.waitUntilUp(vmId, timeLeft(run, context.now()));
      await context.states.update(vmId, (s) => ({ ...s!, booted: true }));
      return { ...shaped, bootedAt: new Date(context.now()).toISOString() };
    } catch (error) {
      if (!context.states.get(vmId)?.booted) await removeVm(context, vmId, true);
      throw error;
    }
  });

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
