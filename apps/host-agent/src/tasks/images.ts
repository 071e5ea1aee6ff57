import { join } from 'node:path';
import { rm, stat } from 'node:fs/promises';
import { hostTasks, type InputOf, type OutputOf } from '@chrysalis/contracts';
import type { Handler, TaskRun } from '../executor.ts';
import { fetchImage, type AskHost } from '../images/fetch.ts';
import type { ImageMaker } from '../images/make.ts';
import { digestOf, type DiskImages, type Manifest } from '../images/store.ts';
import { iso, TaskFailure } from '../move/deps.ts';
import { handler, timeLeft, type Parts } from './parts.ts';

export type ImageParts = Pick<Parts, 'config' | 'now'> & {
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

export const imageHandlers = (parts: ImageParts): Handler[] => [
  ofImage(handler(hostTasks.buildImage, anyState, (input, run) => build(parts, input, run))),
  ofImage(handler(hostTasks.transferImage, anyState, (input, run) => transfer(parts, input, run))),
  ofImage(handler(hostTasks.removeImage, anyState, (input, run) => remove(parts, input, run))),
];

/** What is there under the name was put there whole. Of another shape or source, it is not overwritten. */
const build = async (parts: ImageParts, input: Build, run: TaskRun): Promise<Stored> => {
  const { image, format, sizeMiB } = input;
  const source = JSON.stringify(input.from ?? 'blank');
  const there = await parts.images.get(image);
  if (there) {
    if (there.format === format && there.sizeMiB === sizeMiB && there.source === source) return stored(parts, there);
    throw new TaskFailure('host.image_conflict', `another image ${image} is on this host`, false, { digest: there.digest });
  }
  const to = parts.images.beside(image, 'new', run.key);
  try {
    await rm(to, { force: true });
    const from = await fileOf(parts, input);
    await parts.make({ to, format, sizeMiB, ...(from ? { from } : {}), signal: run.signal, timeoutMs: timeLeft(run, parts.now()) });
    return stored(parts, await put(parts, to, { image, format, sizeMiB, source, digest: await digestOf(to, run.signal) }, run));
  } finally {
    await rm(to, { force: true });
  }
};

/** The part stays after a failure: the next try goes on with it. */
const transfer = async (parts: ImageParts, input: InputOf<typeof hostTasks.transferImage>, run: TaskRun): Promise<Stored> => {
  const { image, digest, fromHost } = input;
  const there = await parts.images.get(image);
  if (there?.digest === digest) return stored(parts, there);
  if (there) throw new TaskFailure('host.image_conflict', `another image ${image} is on this host`, false, { digest: there.digest });
  if (fromHost === parts.config.hostId) throw new TaskFailure('host.image_unknown', `${image} is not on this host itself`);
  const part = parts.images.beside(image, 'part', digest);
  const { format, sizeMiB } = await fetchImage(parts.ask, { image, digest, fromHost, part, signal: run.signal });
  return stored(parts, await put(parts, part, { image, format, sizeMiB, source: `host:${fromHost}`, digest }, run));
};

/** An undo takes away only what its own workflow put there: another's image of that name is not its to delete. */
const remove = async (
  { images }: ImageParts,
  { image, digest }: InputOf<typeof hostTasks.removeImage>,
  { dispatch }: TaskRun,
): Promise<{ removed: boolean }> => {
  const there = await images.get(image);
  const foreign = dispatch.action === 'compensate' && there?.madeBy !== dispatch.workflowId;
  if (!there || foreign || (digest !== undefined && there.digest !== digest)) return { removed: false };
  await images.remove(image);
  return { removed: true };
};

const put = async (
  parts: ImageParts,
  file: string,
  made: Pick<Manifest, 'image' | 'format' | 'sizeMiB' | 'source' | 'digest'>,
  run: TaskRun,
): Promise<Manifest> => {
  const { size } = await stat(file);
  run.signal.throwIfAborted(); // after this it is an image, and a cancelled task has left nothing
  const manifest = { ...made, bytes: size, madeBy: run.dispatch.workflowId, at: iso(parts.now()) };
  return parts.images.put(file, manifest, (point) => parts.at(point, { image: made.image }));
};

const fileOf = async ({ images, config }: ImageParts, { from }: Build): Promise<{ file: string; format: 'raw' | 'qcow2' } | undefined> => {
  if (!from) return undefined;
  if (from.kind === 'volume') {
    const pool = config.pools[from.pool];
    if (!pool) throw new TaskFailure('hypervisor.pool_unknown', `no storage pool ${from.pool} on this host`);
    if (from.volume === '.' || from.volume === '..') throw new TaskFailure('hypervisor.volume_missing', `${from.volume} is no volume`);
    return { file: join(pool.directory, from.volume), format: from.format };
  }
  const base = await images.get(from.image);
  if (!base) throw new TaskFailure('host.image_unknown', `no image ${from.image} on this host`);
  return { file: images.file(from.image), format: base.format };
};

const stored = ({ config }: ImageParts, { image, format, sizeMiB, bytes, digest }: Manifest): Stored => ({
  hostId: config.hostId,
  image,
  format,
  sizeMiB,
  bytes,
  digest,
});
