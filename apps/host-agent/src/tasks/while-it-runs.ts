import type { GuestReading, HypervisorDriver, LifecycleEvent } from '@chrysalis/hypervisor';
import { TaskFailure } from '../execution/task-failure.ts';

/** After these a guest answers nobody until somebody does something about it. A stop may be over in a moment, and is waited for. */
const ends: ReadonlySet<LifecycleEvent['kind']> = new Set(['shut-down', 'panicked', 'io-error', 'ended']);

/** A guest that is off or stands still is said to be so at once, and when it comes to that, in place of a wait until the deadline. */
export const whileItRuns = async <T>(
  driver: Pick<HypervisorDriver, 'status' | 'onLifecycle'>,
  vmId: string,
  work: () => Promise<T>,
): Promise<T> => {
  const ended = Promise.withResolvers<never>();
  ended.promise.catch(() => undefined);
  const deaf = driver.onLifecycle((e) => {
    if (e.vmId === vmId && ends.has(e.kind)) ended.reject(notRunning(vmId, { state: e.state, why: e }));
  });
  try {
    const { observed } = await driver.status(vmId);
    if (observed && observed.state !== 'running') throw notRunning(vmId, observed);
    return await Promise.race([work(), ended.promise]);
  } finally {
    deaf();
  }
};

const notRunning = (vmId: string, { state, why }: GuestReading): TaskFailure =>
  new TaskFailure('host.vm_not_running', `${vmId} is ${state}${why ? `: ${why.message}` : ''}`, false, {
    state,
    ...(why ? { code: why.code } : {}),
  });
