import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { stateMiBOf } from '@chrysalis/contracts';
import type { MigrateOutcome, SavedState, Suspended, SuspendRequest } from '../driver.ts';
import { HypervisorError } from '../errors.ts';
import type { QmpClient } from '../qmp.ts';
import { continueVm } from './incoming.ts';
import type { MigrationInfo } from './migration-info.ts';
import { ENDS, FLYING, migrate, onlyCapabilities, queryStatus, statusOf } from './migration.ts';
import { SaveSink } from './save-sink.ts';
import type { Vm } from './vm.ts';

const MiB = 1024 * 1024;
/** The guest stands still, so that one pass sends all. QEMU writes what fits in this limit in one go, and answers nobody meanwhile. */
const DOWNTIME_LIMIT_MS = 1;
const MAPPED = 'mapped-ram';

/**
 * Saves a VM to a file on its way to another host: its guest stands still first, so that what is written is all there is, once. When this
 * returns `completed` the file is on the disk, and its digest is of what is there. However else it ends, the guest runs on here.
 */
export const suspend = async (vm: Vm, request: SuspendRequest, path: string): Promise<Suspended> => {
  await assertRuns(vm);
  await rm(path, { force: true }); // of an earlier attempt of the same move
  const way = await wayOf(vm, request, path);
  request.signal?.addEventListener('abort', way.close, { once: true });
  try {
    const stoppedAtUs = await stopVm(vm.qmp);
    const outcome = await written(vm, request, way);
    if (outcome.outcome === 'failed') throw (await way.failure()) ?? outcome.cause;
    await way.written();
    const saved = await sealed(path, request.signal);
    return { ...outcome, stoppedAtUs, completedAtUs: Date.now() * 1000, saved };
  } catch (error) {
    const cause = causeOf(error, request.signal);
    if (!(cause instanceof HypervisorError)) throw error;
    return { outcome: 'failed', cause, running: await runsOn(vm) };
  } finally {
    request.signal?.removeEventListener('abort', way.close);
    way.close();
  }
};

const assertRuns = async (vm: Vm): Promise<void> => {
  const before = await queryStatus(vm.qmp);
  if (vm.record.role === 'runner' && before?.running) return;
  throw new HypervisorError('hypervisor.not_ready', `A VM in state ${before?.status} is not saved`, { state: before?.status });
};
const causeOf = (error: unknown, signal: AbortSignal | undefined): unknown =>
  signal?.aborted ? new HypervisorError('hypervisor.migration_cancelled', 'The save was cancelled') : error;

/** `failure`: why it could not be written, where that is why the stream broke. */
type Way = {
  readonly address: string;
  written(): Promise<unknown>;
  failure(): Promise<HypervisorError | undefined>;
  close(): void;
};

/** With `mapped-ram` QEMU itself writes the file: it has places in it. Else it sends a stream, which we write. */
const wayOf = async (vm: Vm, { mapped }: SuspendRequest, path: string): Promise<Way> => {
  // Made here, so that nobody else may read what a guest has in memory.
  if (mapped) await (await open(path, 'wx', 0o600)).close();
  if (mapped) return { address: `file:${path}`, written: async () => undefined, failure: async () => undefined, close: () => undefined };
  const sink = await SaveSink.open(vm.files.socket('save'), path, stateMiBOf(vm.topology) * MiB);
  const { address } = sink;
  return { address, written: () => sink.written(STREAM_END_MS), failure: () => sink.failure(), close: () => sink.close() };
};
/** From QEMU's word that it sent all of it until that is written. */
const STREAM_END_MS = 60_000;

const written = async (vm: Vm, request: SuspendRequest, { address }: Way): Promise<MigrateOutcome> => {
  const { maxBandwidthMiBps, onProgress, mapped, ...rest } = request;
  const limits = { downtimeLimitMs: DOWNTIME_LIMIT_MS, maxBandwidthMiBps };
  const told = onProgress && { onProgress: (p: Parameters<typeof onProgress>[0]) => onProgress({ ...p, phase: 'save' }) };
  const outcome = await migrate(vm, { ...rest, ...told, address, limits }, (qmp) =>
    onlyCapabilities(qmp, ['events', ...(mapped ? [MAPPED] : [])]),
  );
  if (outcome.outcome === 'completed' || !/No space left/.test(outcome.cause.message)) return outcome;
  return { ...outcome, cause: new HypervisorError('hypervisor.save_failed', `The state could not be written: ${outcome.cause.message}`) };
};

const stopVm = async (qmp: QmpClient): Promise<number> => {
  const stopped = qmp.waitFor('STOP', () => true, 10_000);
  try {
    await qmp.execute('stop');
    return (await stopped.promise).atUs;
  } finally {
    stopped.cancel();
  }
};

/** A guest that stood still for its save cannot have ended by itself: where its QEMU is there, it goes on. */
const runsOn = async (vm: Vm): Promise<boolean> => {
  await continueVm(vm.qmp);
  return true;
};

/** On the disk, name and content, and read from there. */
const sealed = async (path: string, signal: AbortSignal | undefined): Promise<SavedState> => {
  for (const [what, flags] of [[path, 'r+'], [dirname(path), 'r']] as const) {
    const file = await open(what, flags);
    await file.sync().catch((error: Error) => { throw unwritten(error); }).finally(() => file.close());
  } // prettier-ignore
  return digestOf(path, signal);
};
const unwritten = (error: Error): HypervisorError =>
  new HypervisorError('hypervisor.save_failed', `The state could not be written: ${error.message}`);

const digestOf = async (path: string, signal?: AbortSignal): Promise<SavedState> => {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 4 * MiB, ...(signal ? { signal } : {}) }) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    hash.update(chunk);
  }
  return { digest: `sha256:${hash.digest('hex')}`, bytes };
};

/** A target that takes its guest from a file: it listens to nobody, and no one talks back (`return-path`). */
export const awaitState = async (qmp: QmpClient, quiet: boolean): Promise<string> => {
  await onlyCapabilities(qmp, ['events', 'late-block-activate']);
  if (quiet) await qmp.execute('migrate-set-parameters', { 'announce-rounds': 0 });
  return STATE_ADDRESS;
};
/** Where another host's agent would look for a stream. */
const STATE_ADDRESS = 'state:';

/** Nothing of a file is loaded that is not what was written to it. Again for a guest that is in: nothing. */
export const restore = async (
  vm: Vm,
  path: string,
  { digest, bytes, mapped }: SavedState & { readonly mapped?: boolean | undefined },
): Promise<void> => {
  const { qmp } = vm;
  const loaded = qmp.waitFor('MIGRATION', (e) => ENDS.has(statusOf(e)), LOAD_MS);
  loaded.promise.catch(() => undefined);
  try {
    const state = (await queryStatus(qmp))?.status;
    if (state === 'paused') return;
    if (vm.record.role !== 'incoming' || state !== 'inmigrate')
      throw new HypervisorError('hypervisor.not_ready', `The target is ${state}`, { state });
    const { status = '' } = await qmp.execute<MigrationInfo>('query-migrate');
    // An earlier life of this driver may have begun it: what QEMU reads by itself goes on, a stream that had begun broke with that life, and
    // one that had not is waited for still.
    if (!FLYING.has(status) || (status === 'setup' && !mapped)) {
      await assertWhole(path, { digest, bytes });
      await (mapped ? loadMapped(qmp, path) : sendTo(vm, path, status === 'setup'));
    }
    await loaded.promise;
    const after = (await queryStatus(qmp))?.status;
    if (after !== 'paused')
      throw new HypervisorError('hypervisor.migration_failed', `The state could not be loaded: the target is ${after}`);
  } finally {
    loaded.cancel();
  }
};
/** What ends a load is its file's end, or that of the process, which is the target's agent's to say. */
const LOAD_MS = 2_000_000_000;

const assertWhole = async (path: string, said: SavedState): Promise<void> => {
  const is = await digestOf(path).catch((error: Error) => {
    throw new HypervisorError('hypervisor.save_corrupt', `The saved state cannot be read: ${error.message}`);
  });
  if (is.digest === said.digest && is.bytes === said.bytes) return;
  throw new HypervisorError('hypervisor.save_corrupt', `The saved state has ${is.bytes} bytes of ${is.digest}, and was written as ${said.bytes} of ${said.digest}`); // prettier-ignore
};

const loadMapped = async (qmp: QmpClient, path: string): Promise<void> => {
  await onlyCapabilities(qmp, ['events', 'late-block-activate', MAPPED]);
  await qmp.execute('migrate-incoming', { uri: `file:${path}` });
};

const sendTo = async (vm: Vm, path: string, listens: boolean): Promise<void> => {
  const socket = vm.files.socket('restore');
  if (!listens) await vm.qmp.execute('migrate-incoming', { uri: `unix:${socket}` });
  const connection = createConnection(socket);
  // What ends the stream early is told by QEMU, in its own words.
  await pipeline(createReadStream(path, { highWaterMark: 4 * MiB }), connection).catch(() => undefined);
};
