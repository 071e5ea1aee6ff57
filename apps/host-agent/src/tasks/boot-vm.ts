import { hostTasks } from '@chrysalis/contracts';
import type { Handler } from '../executor.ts';
import { TaskFailure, type MoveDeps } from '../move/deps.ts';
import { handler, notBelow, stale, timeLeft, type Admit, type Parts } from './parts.ts';

const admit: Admit = (state, input) => {
  notBelow(state, input);
  if (state && state.role !== 'none' && state.role !== 'runner') throw new TaskFailure('host.vm_present', `${input.vmId} is here, as ${state.role}`);
  if (state?.role === 'runner' && state.epoch !== input.epoch) throw stale(state, input.epoch, 'runs here at another');
};

/** A boot that fails leaves nothing: a task that never succeeded is not compensated by anyone else. */
export const bootVm = (parts: Parts): Handler =>
  handler(hostTasks.bootVm, admit, async ({ vmId, epoch, uuid, spec, image, nics, pool, waitForGuest }, run) => {
    await parts.states.update(vmId, (s) => ({ ...s!, role: 'runner', epoch, floor: epoch }));
    try {
      const shaped = await parts.driver.boot({ vmId, uuid, spec, image, nics, pool });
      if (waitForGuest) await parts.guests.waitUntilUp(vmId, timeLeft(run, parts.now()));
      return { ...shaped, bootedAt: new Date(parts.now()).toISOString() };
    } catch (error) {
      await removeVm(parts, vmId, true);
      throw error;
    }
  });

export const removeVm = async ({ driver, states, guests }: Pick<Parts, 'driver' | 'guests'> & Pick<MoveDeps, 'states'>, vmId: string, deleteVolumes: boolean): Promise<void> => {
  guests.forget(vmId);
  await driver.destroy(vmId, { deleteVolumes });
  await states.update(vmId, ({ topology: _, topologyHash: __, ...s } = undefined!) => ({ ...s, role: 'none' }));
};
