import { setTimeout as sleep } from 'node:timers/promises';
import { hostTasks, type ActionHow, type InputOf, type OutputOf } from '@chrysalis/contracts';
import type { VmStatus } from '@chrysalis/hypervisor';
import type { Handler, TaskRun } from '../execution/handler.ts';
import { carryAgain } from '../segments.ts';
import { iso } from '../move/deps.ts';
import { TaskFailure } from '../execution/task-failure.ts';
import { asRunner, handler, notInMove, timeLeft, type Admit, type HandlerContext } from './handler-context.ts';

const LOOK_EVERY_MS = 100;
/** A button works at once; that its event was missed is no failure, as the guest is waited for after it. */
const RESET_MS = 10_000;
type Acted = OutputOf<typeof hostTasks.stopVm>;
/** The VM is this host's at this epoch, and stays so: it is not in the middle of a move. */
const admit: Admit = (state, input) => {
  asRunner(state, input);
  notInMove(state!);
};
const done = ({ now }: HandlerContext, how?: ActionHow): Acted => ({ at: iso(now()), ...(how ? { how } : {}) });

/** What is so already is done: each of these may come twice, late, and after a crash in its middle. */
export const powerHandlers = (context: HandlerContext): Handler[] => [
  handler(hostTasks.stopVm, admit, (input, run) => goOff(context, input, run.signal)),
  handler(hostTasks.startVm, admit, async ({ vmId, bootOrder, vcpus }, run) => {
    const shaped = await context.driver.start(vmId, { bootOrder, vcpus });
    await answersAnew(context, vmId, run);
    return { ...shaped, at: iso(context.now()) };
  }),
  handler(hostTasks.rebootVm, admit, (input, run) => reboot(context, input, run)),
  handler(hostTasks.resetVm, admit, async ({ vmId }, run) => {
    await restarted(context, vmId, () => context.driver.pressReset(vmId), RESET_MS);
    await answersAnew(context, vmId, run);
    return done(context, 'reset');
  }),
  handler(hostTasks.pauseVm, admit, async ({ vmId }, run) => {
    if (!(await standsStillAnyway(context, vmId, run))) await context.driver.pause(vmId);
    return done(context);
  }),
  handler(hostTasks.resumeVm, admit, async ({ vmId }, run) => {
    if (!(await wentOffMeanwhile(context, vmId, run))) await context.driver.unpause(vmId);
    return done(context);
  }),
];

/** The halt keeps it off: until then an end of its own, by our asking, is no more than that. */
export const goOff = async (
  context: HandlerContext,
  { vmId, modes, timeoutMs }: Pick<InputOf<typeof hostTasks.stopVm>, 'vmId' | 'modes' | 'timeoutMs'>,
  signal: AbortSignal,
): Promise<Acted> => {
  const { driver, guests } = context;
  const off = async (how?: ActionHow): Promise<Acted> => {
    guests.forget(vmId);
    await driver.halt(vmId);
    return done(context, how);
  };
  const before = await driver.status(vmId);
  if (isOff(before.state) || isOver(before)) return off();
  for (const mode of modes) {
    if (mode === 'power-off') return off(mode);
    if (!before.running) continue; // a guest that stands still hears nobody
    if (mode === 'guest-agent' && !(await guests.shutDown(vmId, 'powerdown'))) continue;
    if (mode === 'acpi') await driver.pressPower(vmId);
    if (await goesOff(context, vmId, timeoutMs, signal)) return off(mode);
  }
  throw stays(vmId, `did not shut down by ${modes.join(', ')}`);
};

/** What was to be continued and does not run has nothing to be taken back: its undo is done. One that does not say is asked again. */
const standsStillAnyway = async ({ driver }: HandlerContext, vmId: string, { dispatch }: TaskRun): Promise<boolean> => {
  if (dispatch.action !== 'compensate') return false;
  const { running, state } = await driver.status(vmId);
  return !running && state !== 'unknown';
};
/** What was to be paused and has gone off by itself neither. */
const wentOffMeanwhile = async ({ driver }: HandlerContext, vmId: string, { dispatch }: TaskRun): Promise<boolean> =>
  dispatch.action === 'compensate' && isOff((await driver.status(vmId)).state);

const isOff = (state: string): boolean => state === 'gone' || state === 'halted';
/** Its process stands, and there is nobody in it who could be asked, or lose anything. */
const isOver = ({ observed }: VmStatus): boolean => observed?.state === 'shut-down' || observed?.state === 'panicked';
const goesOff = async ({ driver, now }: HandlerContext, vmId: string, withinMs: number, signal: AbortSignal): Promise<boolean> => {
  for (const end = now() + withinMs; now() < end; await sleep(LOOK_EVERY_MS, undefined, { signal }))
    if (isOff((await driver.status(vmId)).state)) return true;
  return false;
};

const reboot = async (
  context: HandlerContext,
  { vmId, modes, timeoutMs }: InputOf<typeof hostTasks.rebootVm>,
  run: TaskRun,
): Promise<Acted> => {
  if (await hasRestarted(context, vmId, run)) return done(context);
  const ways = { 'guest-agent': () => context.guests.shutDown(vmId, 'reboot'), reset: () => context.driver.pressReset(vmId) };
  for (const mode of modes) {
    if (!(await restarted(context, vmId, ways[mode], timeoutMs))) continue;
    await answersAnew(context, vmId, run);
    return done(context, mode);
  }
  throw stays(vmId, `did not restart by ${modes.join(', ')}`);
};

/**
 * Whether an earlier execution of this task, by an agent that died in its middle, has restarted the guest: its boot says so. One that is
 * restarting answers no question until it is up, so it is waited for. Where it has not, its boot is kept for the execution after this one.
 */
const hasRestarted = async (context: HandlerContext, vmId: string, run: TaskRun): Promise<boolean> => {
  const task = `${run.dispatch.workflowId}/${run.dispatch.task}`;
  const before = context.states.get(vmId)?.restart;
  if (before?.task === task) {
    await answersAnew(context, vmId, run);
    const bootId = await context.guests.bootId(vmId);
    return bootId !== undefined && bootId !== before.bootId;
  }
  const bootId = await context.guests.bootId(vmId);
  if (bootId !== undefined) await context.states.update(vmId, (state) => ({ ...state!, restart: { task, bootId } }));
  return false;
};

/** Listens before it asks. False: nobody took it, or it did not restart in time. */
const restarted = async (
  { driver }: HandlerContext,
  vmId: string,
  ask: () => Promise<boolean | void>,
  withinMs: number,
): Promise<boolean> => {
  const reset = Promise.withResolvers<true>();
  const deaf = driver.onLifecycle((e) => e.vmId === vmId && e.kind === 'reset' && reset.resolve(true));
  const over = new AbortController();
  try {
    if ((await ask()) === false) return false;
    return await Promise.race([reset.promise, sleep(withinMs, false as const, { signal: over.signal })]);
  } finally {
    deaf();
    over.abort();
  }
};

/** Over a new connection: the one before may hold what the guest said before it restarted, or be that of a process which has ended. */
export const answersAnew = async (context: HandlerContext, vmId: string, run: TaskRun): Promise<void> => {
  context.guests.forget(vmId);
  await isUp(context, vmId, run);
  await carryAgain(context, vmId);
};

/** Whether the guest of a disk has an agent nobody knows: as when it was made, it is up when it has begun. */
const isUp = async ({ driver, guests, now }: HandlerContext, vmId: string, run: TaskRun): Promise<void> => {
  const { topology } = await driver.status(vmId);
  if (!topology.image.disk) await guests.waitUntilUp(vmId, timeLeft(run, now()));
};

const stays = (vmId: string, why: string): TaskFailure => new TaskFailure('host.guest_stays', `the guest of ${vmId} ${why}`);
