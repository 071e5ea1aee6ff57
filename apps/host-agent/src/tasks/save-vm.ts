import { rm } from 'node:fs/promises';
import { hostTasks, memoryMiBOf, type InputOf, type OutputOf } from '@chrysalis/contracts';
import type { Handler, TaskRun } from '../execution/handler.ts';
import { assertRoom } from '../images/fetch.ts';
import { digestOf, type Manifest } from '../images/store.ts';
import { isoUs } from '../move/deps.ts';
import { TaskFailure } from '../execution/task-failure.ts';
import { conflict, isOf, put, stored, type ImageContext } from './images.ts';
import { asRunner, handler, notInMove, timeLeft, type Admit, type HandlerContext } from './handler-context.ts';

type Save = InputOf<typeof hostTasks.saveVm>;
type Result = OutputOf<typeof hostTasks.saveVm>;
const MIB = 1_048_576;
const DOWNTIME_LIMIT_MS = 300;
const MAX_PAUSE_MS = 5_000;

const admit: Admit = (state, input) => {
  asRunner(state, input);
  notInMove(state!);
};

/** The driver lets the guest run on before anything else is done with the file, and its adoption does so after a crash. */
export const saveVm = (context: HandlerContext & ImageContext): Handler =>
  handler(hostTasks.saveVm, admit, async (input, run) => {
    const there = await context.images.get(input.name);
    if (there?.saved?.vmId === input.vmId && isOf(run, there)) return resultOf(context, there);
    if (there) throw conflict(there);
    const file = context.images.beside(input.name, 'new', run.key);
    try {
      await rm(file, { force: true });
      return resultOf(context, await save(context, input, file, run));
    } finally {
      await rm(file, { force: true });
    }
  });

const save = async (
  context: HandlerContext & ImageContext,
  { vmId, epoch, name, maxPauseMs }: Save,
  file: string,
  run: TaskRun,
): Promise<Manifest> => {
  const sizeMiB = memoryMiBOf((await context.driver.topology(vmId)).topology);
  await assertRoom(file, sizeMiB * MIB);
  const { stoppedAtUs, resumedAtUs, topologyHash } = await context.driver
    .saveState(vmId, {
      file,
      downtimeLimitMs: Math.min(DOWNTIME_LIMIT_MS, maxPauseMs ?? MAX_PAUSE_MS),
      maxPauseMs: maxPauseMs ?? MAX_PAUSE_MS,
      deadlineMs: timeLeft(run, context.now()),
      signal: run.signal,
    })
    .catch((error: unknown) => {
      run.signal.throwIfAborted();
      throw error;
    });
  await context.at('save:written', { vmId, image: name });
  const pausedMs = Math.max(0, (resumedAtUs - stoppedAtUs) / 1000);
  const saved = { vmId, epoch, topologyHash, pausedMs, stoppedAt: isoUs(stoppedAtUs) };
  const digest = await digestOf(file, run.signal);
  return put(context, file, { image: name, format: 'vm-state', sizeMiB, source: `vm:${vmId}`, digest, saved }, run);
};

const resultOf = (context: Pick<ImageContext, 'config'>, manifest: Manifest): Result => {
  const { saved } = manifest;
  if (!saved) throw new TaskFailure('host.image_conflict', `${manifest.image} is no save file`);
  const { vmId, topologyHash, pausedMs, stoppedAt } = saved;
  return { ...stored(context, manifest), vmId, topologyHash, pausedMs, stoppedAt };
};
