import { HypervisorError, type DeviceRef, type HypervisorDriver, type Shaped } from '@chrysalis/hypervisor';
import type { TaskRun } from './execution/handler.ts';
import { TaskFailure } from './execution/task-failure.ts';
import { timeLeft, type HandlerContext } from './tasks/handler-context.ts';

/**
 * A guest has its minute to let go, once: asked again it would go on with the same request, and whoever asked would have the VM locked for
 * minutes without a word. That request stays open, so that a guest that lets go later has let go, and the next try finds nothing to do.
 * An undo is asked again: nobody else would take the device out.
 */
export const letGo = async (
  { driver, now }: Pick<HandlerContext, 'now'> & { readonly driver: Pick<HypervisorDriver, 'unplug'> },
  vmId: string,
  device: DeviceRef,
  run: TaskRun,
): Promise<Shaped> => {
  try {
    return await driver.unplug(vmId, device, timeLeft(run, now()));
  } catch (error) {
    if (run.dispatch.action !== 'run' || !(error instanceof HypervisorError) || error.code !== 'hypervisor.unplug_timeout') throw error;
    throw new TaskFailure(error.code, error.message, false, error.detail);
  }
};
