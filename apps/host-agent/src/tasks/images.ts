import { join } from 'node:path';
import { rm, stat } from 'node:fs/promises';
import { hostTasks, type InputOf, type OutputOf } from '@chrysalis/contracts';
import type { Handler, TaskRun } from '../execution/handler.ts';
import { fetchImage, type AskHost } from '../images/fetch.ts';
import type { ImageMaker } from '../images/make.ts';
import { digestOf, type DiskImages, type Manifest } from '../images/store.ts';
import { iso } from '../move/deps.ts';
import { TaskFailure } from '../execution/task-failure.ts';
import { handler, timeLeft, type HandlerContext } from './handler-context.ts';

export type ImageContext = Pick<HandlerContext, 'config' | 'now'> & {
  readonly images: DiskImages;
  readonly make: ImageMaker;
  readonly ask: AskHost;
  readonly at: (point: string, context: Record<string, string>) => Promise<void>;
};
type Build = InputOf<typeof hostTasks.buildImage>;
type Stored = OutputOf<typeof hostTasks.buildImage>;

/** One thing at a time with an image of this host. */
const ofImage = (h: Handler): Handler => ({ ...h, lane: (input: { image?: unknown }) => `image-${String(input.image)}` });
const anyState = (): void => undefined;

export const imageHandlers = (context: ImageContext): Handler[] => [
  ofImage(handler(hostTasks.buildImage, anyState, (input, run) => build(context, input, run))),
  ofImage(handler(hostTasks.transferImage, anyState, (input, run) => transfer(context, input, run))),
  ofImage(handler(hostTasks.removeImage, anyState, (input, run) => remove(context, input, run))),
];

/** What is there under the name was put there whole. Of another shape or source, it is not overwritten. */
const build = async (context: ImageContext, input: Build, run: TaskRun): Promise<Stored> => {
  const { image, format, sizeMiB } = input;
  const source = JSON.stringify(input.from ?? 'blank');
  const there = await context.images.get(image);
  if (there) {
    if (there.format === format && there.sizeMiB === sizeMiB && there.source === source) return stored(context, there);
    throw conflict(there);
  }
  const to = context.images.beside(image, 'new', run.key);
  try {
    await rm(to, { force: true });
    const from = await fileOf(context, input);
    await context.make({ to, format, sizeMiB, ...(from ? { from } : {}), signal: run.signal, timeoutMs: timeLeft(run, context.now()) });
    return stored(context, await put(context, to, { image, format, sizeMiB, source, digest: await digestOf(to, run.signal) }, run));
  } finally {
    await rm(to, { force: true });
  }
};

/** The part stays after a failure: the next try goes on with it. */
const transfer = async (context: ImageContext, input: InputOf<typeof hostTasks.transferImage>, run: TaskRun): Promise<Stored> => {
  const { image, digest, fromHost, elsewhere } = input;
  const there = await context.images.get(image);
  if (elsewhere && there && !isOf(run, there))
    throw new TaskFailure('host.image_not_elsewhere', `${image} is on this host already`, true, { digest: there.digest });
  if (there?.digest === digest) return stored(context, there);
  if (there) throw conflict(there);
  if (fromHost === context.config.hostId) throw new TaskFailure('host.image_unknown', `${image} is not on this host itself`);
  const part = context.images.beside(image, 'part', digest);
  const { format, sizeMiB } = await fetchImage(context.ask, { image, digest, fromHost, part, signal: run.signal });
  return stored(context, await put(context, part, { image, format, sizeMiB, source: `host:${fromHost}`, digest }, run));
};

/** An undo takes away only what its own workflow put there: another's image of that name is not its to delete. */
const remove = (
  { images }: ImageContext,
  { image, digest }: InputOf<typeof hostTasks.removeImage>,
  { dispatch }: TaskRun,
): Promise<{ removed: boolean }> =>
  images.alone(image, async () => {
    const there = await images.get(image);
    const foreign = dispatch.action === 'compensate' && there?.madeBy !== dispatch.workflowId;
    if (!there || foreign || (digest !== undefined && there.digest !== digest)) return { removed: false };
    await images.remove(image);
    return { removed: true };
  });

/** Of a name that another task took meanwhile, that one's stays. */
export const put = async (
  context: Pick<ImageContext, 'images' | 'now' | 'at'>,
  file: string,
  made: Pick<Manifest, 'image' | 'format' | 'sizeMiB' | 'source' | 'digest' | 'saved'>,
  run: TaskRun,
): Promise<Manifest> => {
  const { size } = await stat(file);
  const { workflowId: madeBy, task } = run.dispatch;
  return context.images.alone(made.image, async () => {
    const there = await context.images.get(made.image);
    if (there) throw conflict(there);
    run.signal.throwIfAborted(); // after this it is an image, and a cancelled task has left nothing
    const manifest = { ...made, bytes: size, madeBy, task, at: iso(context.now()) };
    return context.images.put(file, manifest, (point) => context.at(point, { image: made.image }));
  });
};

/** An earlier attempt of this task put it there. */
export const isOf = ({ dispatch }: TaskRun, there: Manifest): boolean =>
  there.madeBy === dispatch.workflowId && there.task === dispatch.task;

export const conflict = ({ image, digest }: Manifest): TaskFailure =>
  new TaskFailure('host.image_conflict', `another image ${image} is on this host`, false, { digest });

const fileOf = async (
  { images, config }: ImageContext,
  { from }: Build,
): Promise<{ file: string; format: 'raw' | 'qcow2' } | undefined> => {
  if (!from) return undefined;
  if (from.kind === 'volume') {
    const pool = config.pools[from.pool];
    if (!pool) throw new TaskFailure('hypervisor.pool_unknown', `no storage pool ${from.pool} on this host`);
    if (from.volume === '.' || from.volume === '..') throw new TaskFailure('hypervisor.volume_missing', `${from.volume} is no volume`);
    return { file: join(pool.directory, from.volume), format: from.format };
  }
  const base = await images.get(from.image);
  if (!base) throw new TaskFailure('host.image_unknown', `no image ${from.image} on this host`);
  if (base.format === 'vm-state') throw new TaskFailure('host.format_unsupported', `${from.image} is a save file, and no disk`);
  return { file: images.file(from.image), format: base.format };
};

export const stored = ({ config }: Pick<ImageContext, 'config'>, { image, format, sizeMiB, bytes, digest }: Manifest): Stored => ({
  hostId: config.hostId,
  image,
  format,
  sizeMiB,
  bytes,
  digest,
});
