import { rm } from 'node:fs/promises';
import type { Image, Seed } from '@chrysalis/contracts';
import { Mutexes } from '@chrysalis/hypervisor';
import { depotName, mibOf, type DiskFormat } from '@chrysalis/service-kit/images';
import { TaskFailure } from '../execution/task-failure.ts';
import type { TaskRun } from '../execution/handler.ts';
import { iso } from '../move/deps.ts';
import { timeLeft, type HandlerContext } from '../tasks/handler-context.ts';
import { fetchWhole, request } from './fetch.ts';
import { qemuImgCheck, virtualBytesOf } from './make.ts';
import { DEPOT, type DiskImages, type Manifest } from './store.ts';

export type FromDepot = Pick<HandlerContext, 'config' | 'now'> & {
  readonly images: DiskImages;
  readonly at: (point: string, context: Record<string, string>) => Promise<void>;
};
export type EnsureDisk = (image: Image, run: TaskRun) => Promise<void>;

/** A VM's seed, in a file that is the caller's to delete. It is nobody else's, and so in no store. */
export const fetchSeed = async ({ config, images }: FromDepot, { digest, bytes }: Seed, { signal }: TaskRun): Promise<string> => {
  const part = images.beside('seed', 'part', digest);
  const url = urlOf(config, digest, 'raw');
  await fetchWhole({ digest, part, signal }, async () => ({ url, ticket: config.token, bytes }));
  return part;
};

const urlOf = ({ gatewayUrl }: FromDepot['config'], digest: string, format: DiskFormat): string =>
  `${gatewayUrl.replace(/^ws/, 'http').replace(/\/agents$/, '')}/image-files/${depotName(digest, format)}`;

/** A name that is one, of what is known by its digest alone. */
const nameOfDigest = (digest: string): string => `i${digest.slice('sha256:'.length, 'sha256:'.length + 62)}`;

/**
 * Sees to it that this host's store has an image that is a disk: fetched once, from where the gateway is, however many VMs are made of it at
 * once, and looked at before it is one of the store's: by its header, and then by qemu-img in its own process.
 */
export const ensureDisk = ({ config, images, now, at }: FromDepot): EnsureDisk => {
  const one = new Mutexes();
  return (image, run) =>
    one.run(image.digest, async () => {
      const { disk, digest } = image;
      if (!disk || config.driver === 'simulated' || (await images.ofDigest(digest))) return;
      const name = nameOfDigest(digest);
      const part = images.beside(name, 'part', digest);
      const { signal } = run;
      const url = urlOf(config, digest, disk.format);
      const { bytes } = await fetchWhole({ digest, part, signal }, async () => ({
        url,
        ticket: config.token,
        bytes: await lengthOf(url, config.token, signal),
      }));
      await judge(part, image, run, timeLeft(run, now()));
      const manifest: Manifest = {
        image: name,
        format: disk.format,
        sizeMiB: disk.sizeMiB,
        bytes,
        digest,
        source: DEPOT,
        madeBy: run.dispatch.workflowId,
        at: iso(now()),
      };
      await images.put(part, manifest, (point) => at(point, { image: name }));
    });
};

/**
 * Copies of images that were deleted go from this host: those alone of which the depot says so. A depot that does not answer, or does not have
 * the file and no mark of it either, says nothing of the kind.
 */
export const forgetDeleted = async ({ config, images }: Pick<FromDepot, 'config' | 'images'>, signal: AbortSignal): Promise<number> => {
  let gone = 0;
  for (const { image, digest, format } of await images.ofDepot()) {
    if (format === 'vm-state') continue;
    const wasDeleted = await request(urlOf(config, digest, format), config.token, 0, signal).then(
      (answer) => (answer.destroy(), false),
      (error: unknown) => error instanceof TaskFailure && error.code === 'host.image_deleted',
    );
    if (!wasDeleted) continue;
    await images.remove(image);
    gone++;
  }
  return gone;
};

/** What is not fit to be read is not kept either: no later try would find it better. */
const judge = async (part: string, { disk, name, version }: Image, { signal }: TaskRun, timeoutMs: number): Promise<void> => {
  try {
    const sizeMiB = mibOf(await virtualBytesOf(part, disk!.format));
    if (sizeMiB !== disk!.sizeMiB)
      throw new TaskFailure('host.image_failed', `${name}@${version} is registered as a disk of ${disk!.sizeMiB} MiB, and has ${sizeMiB}`);
    await qemuImgCheck(part, disk!.format, signal, timeoutMs);
  } catch (error) {
    if (!signal.aborted) await rm(part, { force: true });
    throw error;
  }
};

/** Asked for anew at each try: the answer's beginning tells it, and the rest is let go. */
const lengthOf = async (url: string, token: string, signal: AbortSignal): Promise<number> => {
  const response = await request(url, token, 0, signal);
  response.destroy();
  return Number(response.headers['content-length']);
};
