import type { PeerAnswer, StoppedWork } from '@chrysalis/contracts';
import type { HypervisorDriver, Shaped } from '@chrysalis/hypervisor';
import type { SourceMove } from '../durable/vm-state.ts';
import { causeOf } from '../execution/cause.ts';
import { TaskFailure } from '../execution/task-failure.ts';
import type { Cause } from './bring-back.ts';
import type { AskPeer, MoveDeps } from './deps.ts';
import { look } from './look.ts';

/** For the way there and back, beside what the work may take. */
const WAY_MS = 250;

/**
 * The source's part: the stream is in, the guest stands still at both ends, and no fence is written. Why the target did not do its work,
 * or nothing: then the fence may be. Whatever else it is, a lost answer among them, the guest is this host's still.
 */
export const askStopped = async (deps: MoveDeps & { askPeer: AskPeer }, vmId: string, move: SourceMove): Promise<Cause | undefined> => {
  const { stoppedWithinMs: withinMs, moveId, newEpoch, peerToken, peerAddress, targetHost: host } = move;
  if (withinMs === undefined) return undefined;
  await deps.at('transfer:stopped', { vmId, moveId });
  const late = (): Cause => failed(`the target did not say within ${withinMs} ms that it is done`);
  const ask = (): Promise<PeerAnswer> =>
    deps.askPeer({ peerAddress, host }, { type: 'stopped', moveId, vmId, newEpoch, peerToken }, withinMs + WAY_MS);
  try {
    const answer = await within(withinMs + WAY_MS, ask);
    if (answer === undefined) return late();
    if (answer.type === 'changed') return undefined;
    if (answer.type === 'refused') return { code: answer.cause.code, message: answer.cause.message };
    return { code: 'host.target_lost', message: answer.type === 'gone' ? answer.reason : `the target answered ${answer.type}` };
  } catch (error) {
    return failed(`the target could not be asked: ${(error as Error).message}`);
  }
};

/** The target's part. A device that is there already is an answer; what is not done in time may still come, to a target that never runs. */
export const plugStopped = async (
  { driver, sleep }: Pick<MoveDeps, 'driver' | 'sleep'>,
  vmId: string,
  work: StoppedWork,
): Promise<Shaped | undefined> => {
  const { devices, withinMs } = work;
  let over = false;
  const done = await within(withinMs, async () => {
    while (!over && !(await standsStill(driver, vmId))) await sleep(5); // the stream is in a moment before QEMU says so
    let shaped: Shaped | undefined;
    for (const device of devices) if (!over) shaped = await driver.plug(vmId, device);
    return { shaped };
  }).finally(() => (over = true));
  if (!done)
    throw new TaskFailure('host.mid_migration_failed', `${devices.map((d) => d.id).join(', ')}: not plugged within ${withinMs} ms`);
  return done.shaped;
};

const standsStill = async (driver: HypervisorDriver, vmId: string): Promise<boolean> => {
  const seen = await look(driver, vmId);
  if (seen === 'unclear' || seen.state === 'inmigrate') return false;
  if (seen.state === 'paused') return true;
  throw new TaskFailure('host.mid_migration_failed', `the target is ${seen.state}`);
};

/** Why this was not done, in one code: what a driver calls it is in the words. */
export const midCause = (error: unknown): Cause => {
  const { code, message } = causeOf(error);
  return code === 'host.mid_migration_failed' ? { code, message } : failed(`${message} (${code})`);
};
const failed = (message: string): Cause => ({ code: 'host.mid_migration_failed', message });

const within = async <T>(ms: number, work: () => Promise<T>): Promise<T | undefined> => {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<undefined>((done) => (timer = setTimeout(() => done(undefined), ms)));
  try {
    return await Promise.race([work(), over]);
  } finally {
    clearTimeout(timer);
  }
};
