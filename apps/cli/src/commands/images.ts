import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { Option, type Command, type OptionValues } from 'commander';
import type { AnswerOf, BodyOf, Client } from '@chrysalis/api-client';
import { ApiError } from '@chrysalis/api-client';
import type { ImageFile } from '@chrysalis/contracts';
import { changing, examples, type Run } from '../command.ts';
import { UsageError } from '../errors.ts';
import { print, ref } from '../show/output.ts';

type Format = ImageFile['format'];

export const importCommand = (image: Command): void => {
  examples(
    changing(
      image
        .command('import')
        .argument('<image>', '`debian`, or `debian@2` to say the version')
        .argument('[file]', 'a disk that boots, qcow2 or raw; one that broke off goes on where it was')
        .option('--host-path <path>', 'a file in the folder for imports on the machine of provisioning, in place of an upload')
        .option('--format <format>', '`qcow2` or `raw`; of a file here its first bytes say it')
        .addOption(displayOption())
        .addOption(firmwareOption())
        .description('bring a disk to where hosts fetch it, and register it as an image; the same content again is the same version'),
      importImage,
    ),
    'image import debian disk.qcow2',
    'image import debian --host-path disk.qcow2 --format qcow2',
    'image import debian disk.qcow2 --firmware uefi',
  );
};

export const deleteImageCommand = (image: Command): void => {
  examples(
    changing(
      image
        .command('delete')
        .alias('rm')
        .argument('<image>', '`debian@1`: the version has to be said')
        .description('delete a version of an image that no VM is of; its disk goes from the depot and, within minutes, from hosts'),
      async ({ client, format, args }) => {
        const { parseRef } = await import('@chrysalis/contracts'); // not at start: only this asks for it
        const found = parseRef(args[0]!);
        if (!found) throw new UsageError(`${args[0]}: say the version that is to go, as in debian@1`);
        const path = { name: found.name, version: String(found.version) };
        const answer = await client.delete('/v1/images/{name}/{version}', { path });
        await print(format, answer, () => `deleted ${args[0]}`);
      },
    ),
    'image delete debian@1',
  );
};

const importImage = async (run: Run): Promise<void> => {
  const { client, args, options, format } = run;
  const [name = '', file] = args;
  const { hostPath } = options as { hostPath?: string };
  if ((file === undefined) === (hostPath === undefined)) throw new UsageError('a FILE to upload, or --host-path, and not both');
  const wanted = options['format'] as Format | undefined;
  if (wanted !== undefined && !['qcow2', 'raw'].includes(wanted)) throw new UsageError('--format is qcow2 or raw');
  if (hostPath !== undefined && wanted === undefined) throw new UsageError('with --host-path say its --format, which is never guessed');
  const came = file === undefined ? await take(run, hostPath!, wanted!) : await upload(run, file, wanted ?? (await formatOf(file)));
  const { digest } = came;
  const { format: of, sizeMiB } = came.disk!;
  const disk = { format: of, sizeMiB, ...firmwareOf(options) };
  const answer = await registerAs(client, name, { digest: digest!, cmdline: '', disk, ...displayOf(options) });
  const by = 'firmware' in disk ? ' that boots by UEFI' : '';
  await print(format, answer, () => `imported ${ref(answer.image)}: ${disk.format}, a disk of ${disk.sizeMiB} MiB${by}, ${digest}`);
};

/** Of a file of one's own; what a server holds it to it is told. */
const formatOf = async (path: string): Promise<Format> => {
  const file = await opened(path);
  const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0).finally(() => file.close());
  return buffer.toString('latin1') === 'QFI\xfb' ? 'qcow2' : 'raw';
};

const opened = (path: string) =>
  open(path, 'r').catch((error: unknown) => {
    throw new UsageError(`${path}: ${(error as Error).message}`);
  });

const take = async ({ client, quiet }: Run, path: string, format: Format): Promise<ImageFile> => {
  for (;;) {
    const file = await client.post('/v1/image-files', { body: { path, format } });
    if (file.state === 'whole') return file;
    tell(quiet, file);
    await pause(500);
  }
};

const upload = async (run: Run, path: string, format: Format): Promise<ImageFile> => {
  const file = await opened(path);
  try {
    const found = await file.stat();
    if (!found.isFile() || found.size === 0) throw new UsageError(`${path} is no file, or empty`);
    return await sent(run, { file, path, format, bytes: found.size, digest: await digestOf(path) });
  } finally {
    await file.close();
  }
};

type Upload = {
  readonly file: FileHandle;
  readonly path: string;
  readonly format: Format;
  readonly bytes: number;
  readonly digest: string;
};
/** From where it is on to its end. */
const sent = async ({ client, quiet }: Run, upload: Upload): Promise<ImageFile> => {
  let state = await stateOf(client, upload);
  for (let told = 0; state?.state !== 'whole';) {
    const offset = state?.received ?? 0;
    if (offset === upload.bytes) {
      await pause(500); // it is being looked at
      state = await stateOf(client, upload);
      continue;
    }
    state = await sendPiece(client, upload, offset);
    if (Date.now() - told < 2_000) continue;
    tell(quiet, state);
    told = Date.now();
  }
  return state;
};

const sendPiece = async (client: Client, { file, path, format, bytes, digest }: Upload, offset: number): Promise<ImageFile> => {
  const { IMAGE_CHUNK_BYTES } = await import('@chrysalis/contracts'); // not at start: only this asks for it
  const { buffer, bytesRead } = await file.read(Buffer.alloc(IMAGE_CHUNK_BYTES), 0, IMAGE_CHUNK_BYTES, offset);
  if (bytesRead === 0) throw new UsageError(`${path} became shorter while it was read`);
  const data = buffer.subarray(0, bytesRead).toString('base64');
  const state = await client.put('/v1/image-files/{digest}', { path: { digest }, body: { format, bytes, offset, data } });
  if (state.state === 'whole' || state.received > offset) return state;
  throw new Error(`the server took nothing of it: it is at ${state.received}`);
};

const stateOf = async (client: Client, { digest, format, bytes }: Upload): Promise<ImageFile | undefined> =>
  client.get('/v1/image-files/{digest}', { path: { digest }, query: { format, bytes: String(bytes) } }).catch((error: unknown) => {
    if (error instanceof ApiError && error.code === 'image-file.unknown') return undefined;
    throw error;
  });

const tell = (quiet: boolean, { state, received, bytes }: ImageFile): void => {
  if (!quiet) process.stderr.write(`${state} ${((received / bytes) * 100).toFixed(0)} % of ${(bytes / 1e6).toFixed(1)} MB\n`);
};

const digestOf = async (path: string): Promise<string> => {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1_048_576 })) hash.update(chunk as Buffer);
  return `sha256:${hash.digest('hex')}`;
};

/** Its VMs then have a screen, of which a picture can be taken. */
export const displayOption = (): Option =>
  new Option('--display <kind>', 'what is in it draws on a screen: its VMs have one').choices(['vga']);
export const displayOf = ({ display }: OptionValues): { display?: 'vga' } => (display ? { display: display as 'vga' } : {});

export const firmwareOption = (): Option =>
  new Option('--firmware <kind>', 'what its loader is for; BIOS, unless told').choices(['bios', 'uefi']);
export const firmwareOf = ({ firmware }: OptionValues): { firmware?: 'uefi' } => (firmware === 'uefi' ? { firmware } : {});

/** That of the same content, or the next one. */
const versionFor = async (client: Client, text: string, content: Content): Promise<{ name: string; version: number }> => {
  const [name = '', version] = text.split('@');
  if (version !== undefined) return { name, version: Number(version) };
  const there = (await client.all('/v1/images')).filter((i) => i['name'] === name);
  const alike = ({ digest, cmdline, display, disk }: Content): string => [digest, cmdline, display, disk?.firmware].join('\n');
  const same = there.find((i) => alike(i) === alike(content));
  return { name, version: same?.version ?? 1 + Math.max(0, ...there.map((i) => i.version)) };
};

type Registered = BodyOf<'post', '/v1/images'>['image'];
type Content = Omit<Registered, 'name' | 'version'>;
/** As the version that is said; else as the next one, and numbers of versions that were deleted are not given again. */
export const registerAs = async (client: Client, text: string, content: Content): Promise<AnswerOf<'post', '/v1/images'>> => {
  const image = { ...(await versionFor(client, text, content)), ...content };
  try {
    return await client.post('/v1/images', { body: { image } });
  } catch (error) {
    if (text.includes('@') || !(error instanceof ApiError) || error.code !== 'image.deleted') throw error;
    return client.post('/v1/images', { body: { image: { ...image, version: 1 + Number(error.problem['highest']) } } });
  }
};
