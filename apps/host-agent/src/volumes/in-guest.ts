import { setTimeout as sleep } from 'node:timers/promises';
import type { TaskRun } from '../execution/handler.ts';
import { TaskFailure } from '../execution/task-failure.ts';
import { timeLeft, type HandlerContext } from '../tasks/handler-context.ts';

type Context = Pick<HandlerContext, 'driver' | 'guests' | 'now'>;

const LOOK_EVERY_MS = 100;
const MIB = 1_048_576;
export const isOff = (state: string): boolean => state === 'halted' || state === 'gone';

/**
 * Waits until the guest shows the disk with its size. Undefined where nobody can be asked: it is off, or no agent answers in it. One that
 * answers and does not show it by the deadline has not got it.
 */
export const delivered = async (
  { driver, guests, now }: Context,
  vmId: string,
  { serial, sizeMiB }: { serial: string; sizeMiB: number },
  run: TaskRun,
): Promise<true | undefined> => {
  const until = now() + timeLeft(run, now());
  for (;;) {
    if (isOff((await driver.status(vmId)).state)) return undefined;
    const seen = await guests.disk(vmId, serial);
    if (!seen) return undefined;
    if (seen.there && seen.bytes >= sizeMiB * MIB) return true;
    if (now() >= until)
      throw new TaskFailure('host.volume_not_delivered', `the guest of ${vmId} does not show a disk ${serial} of ${sizeMiB} MiB`, false, {
        seen,
      });
    await sleep(LOOK_EVERY_MS, undefined, { signal: run.signal });
  }
};

/** A kernel lets a disk go that is mounted: so the guest is asked before. Throws where it is used, or nobody says. */
export const unused = async ({ driver, guests }: Context, vmId: string, serial: string): Promise<void> => {
  if (isOff((await driver.status(vmId)).state)) return;
  const seen = await guests.disk(vmId, serial);
  if (!seen) throw new TaskFailure('host.volume_use_unknown', `nobody in the guest of ${vmId} says whether it uses ${serial}`);
  if (seen.there && seen.uses.length > 0)
    throw new TaskFailure('host.guest_uses_volume', `the guest of ${vmId} uses ${seen.name}: ${seen.uses.join(', ')}`, false, {
      uses: seen.uses,
    });
};
