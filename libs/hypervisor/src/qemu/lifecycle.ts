import { stat } from 'node:fs/promises';
import { happenings, type GuestReading, type GuestState, type Happening, type Lifecycles } from '../lifecycle.ts';
import type { QmpEvent } from '../qmp.ts';
import { lastWords } from './process.ts';
import type { Vm } from './vm.ts';

/** QEMU's run states. Those that are missing are of a migration, a save or a start: not the guest's. */
const states: Readonly<Record<string, GuestState>> = {
  running: 'running',
  paused: 'paused',
  suspended: 'paused',
  debug: 'paused',
  watchdog: 'paused',
  shutdown: 'shut-down',
  'guest-panicked': 'panicked',
  'io-error': 'io-error',
  'internal-error': 'internal-error',
};

const reads = (event: QmpEvent, name: string): string => String(event.data[name] ?? '');

type Reader = (event: QmpEvent, before: Happening | undefined) => Happening | undefined;
const readers: Readonly<Record<string, Reader>> = {
  SHUTDOWN: (event, before) => {
    if (reads(event, 'reason') === 'guest-shutdown') return happenings.shutDown(event.atUs);
    if (reads(event, 'reason') === 'guest-panic' && before?.kind !== 'panicked') return happenings.panicked(event.atUs);
    return undefined; // by a signal, or by us: the end of the process says so
  },
  RESET: (event) => {
    // Others (`subsystem-reset`, `snapshot-load`) are parts of something else.
    if (reads(event, 'reason') === 'guest-reset') return happenings.restarted(event.atUs);
    return reads(event, 'reason') === 'host-qmp-system-reset' ? happenings.reset(event.atUs) : undefined;
  },
  GUEST_PANICKED: (event) => (reads(event, 'action') === 'run' ? undefined : happenings.panicked(event.atUs)),
  // One for each request that failed; `report` and `ignore` leave it to the guest, which runs on.
  BLOCK_IO_ERROR: (event, before) => (reads(event, 'action') !== 'stop' || before?.kind === 'io-error' ? undefined : ioError(event)),
  STOP: ({ atUs }, before) => (before && over.has(before.kind) ? undefined : happenings.stopped(atUs)),
  SUSPEND: ({ atUs }) => happenings.asleep(atUs),
  RESUME: ({ atUs }) => happenings.resumed(atUs),
  WAKEUP: ({ atUs }) => happenings.resumed(atUs),
};
/** What an event of QEMU says of the guest. `before`: what was seen last, of which a STOP may be the other half. */
export const happeningOf: Reader = (event, before) => readers[event.event]?.(event, before);
/** A STOP that follows one of these is its own. */
const over: ReadonlySet<Happening['kind']> = new Set(['shut-down', 'panicked', 'io-error']);

const ioError = (event: QmpEvent): Happening => {
  const disk = reads(event, 'node-name').replace(/^(block|file)-/, '') || reads(event, 'device') || 'unknown';
  const why = event.data['nospace'] === true ? 'no space left where its volume is' : reads(event, 'reason') || 'an error';
  return happenings.ioError(disk, why, event.atUs);
};

/**
 * After a reset that finds it set up SeaBIOS resets the machine once more, in two ways, and a guest that is reset in its firmware makes it
 * do so again: 200 to 350 ms after the first, measured. No guest comes to restart itself so soon after its power-on. Counted from the
 * first, so that one which does nothing else is seen to restart all the same.
 */
const SAME_RESTART_US = 2_000_000;
export const isOfSameRestart = ({ kind, by, atUs }: Happening, resetAtUs: number | undefined): boolean =>
  kind === 'reset' && by === 'guest' && resetAtUs !== undefined && atUs - resetAtUs < SAME_RESTART_US;

/** Tells what happens to a VM from now on. A destroy that has begun is no news, nor what comes of it. */
export const followLifecycle = (vm: Vm, lifecycles: Lifecycles): void => {
  vm.qmp.on((event) => {
    const seen = vm.ending ? undefined : happeningOf(event, vm.happened);
    if (!seen) return;
    const again = isOfSameRestart(seen, vm.resetAtUs);
    if (seen.kind === 'reset' && !again) vm.resetAtUs = seen.atUs;
    tell(vm, lifecycles, again ? { ...seen, again } : seen);
  });
};

/** Its process ended by itself. What the guest did before is told already, unless the monitor closed before it came through. */
export const tellEnd = async (vm: Vm, lifecycles: Lifecycles): Promise<void> => {
  if (vm.happened && ended.has(vm.happened.kind)) return;
  tell(vm, lifecycles, await endOf(vm, Date.now() * 1000));
};

const tell = (vm: Vm, lifecycles: Lifecycles, seen: Happening): void => {
  if (seen.kind !== 'reset') vm.happened = seen;
  lifecycles.tell({ vmId: vm.vmId, migrating: vm.migrating !== undefined, ...seen });
};
const ended: ReadonlySet<Happening['kind']> = new Set(['shut-down', 'panicked', 'ended']);

/** See VmStatus.observed. `answer` is that of `query-status`, if one came. */
export const readingOf = async (vm: Vm, answer: { status: string } | undefined): Promise<GuestReading | undefined> => {
  if (vm.ending) return undefined;
  if (!answer) return vm.alive || vm.record.givenAway ? undefined : ofTheDead(vm);
  if (vm.record.role !== 'runner') return undefined;
  const state = states[answer.status];
  if (!state || (state === 'paused' && (vm.migrating !== undefined || vm.record.saving))) return undefined;
  return vm.happened?.state === state ? { state, why: vm.happened } : { state };
};

const ofTheDead = async (vm: Vm): Promise<GuestReading> => {
  if (vm.record.haltedAtUs !== undefined) {
    const told = happenings.halted(vm.record.haltedAtUs);
    return { state: told.state, why: told };
  }
  const why = vm.happened && ended.has(vm.happened.kind) ? vm.happened : await endOf(vm, undefined);
  vm.happened = why;
  return { state: why.state, why };
};

/** `SHUTDOWN_CAUSE_GUEST_SHUTDOWN` and `…_GUEST_PANIC` of QEMU's ShutdownCause. */
const [GUEST_SHUTDOWN, GUEST_PANIC] = ['6', '8'];

/**
 * Why a process is gone, from what it wrote: QEMU is told to trace the requests for its end (see command-line.ts), so that a power-off
 * by the guest and a crash are told apart also where nobody was connected. When: `at`, or when it wrote last.
 */
const endOf = async (vm: Vm, at: number | undefined): Promise<Happening> => {
  const words = await lastWords(vm.files.words);
  const atUs = at ?? (await stat(vm.files.words).then((s) => Math.round(s.mtimeMs * 1000), () => Date.now() * 1000)); // prettier-ignore
  const reason = [...words.matchAll(/qemu_system_shutdown_request .*?reason=(\d+)/g)].at(-1)?.[1];
  if (reason === GUEST_SHUTDOWN) return happenings.shutDown(atUs);
  if (reason === GUEST_PANIC) return happenings.panicked(atUs);
  return happenings.ended(words, atUs);
};
