import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { Option, type Command, type OptionValues } from 'commander';
import type { AnswerOf, BodyOf, Client } from '@chrysalis/api-client';
import { ApiError } from '@chrysalis/api-client';
import type { ImageFile } from '@chrysalis/contracts';
import { changing, examples, fileFault, fileGiven, listCommand, type Run } from '../command.ts';
import { UsageError } from '../errors.ts';
import { age, print, ref } from '../show/output.ts';

type Format = ImageFile['format'];

/** Every version, the newest of a name before its others. */
export const imagesThere = (client: Client) => client.all('/v1/images', { versions: 'all' });

export const listImagesCommand = (image: Command): void => {
  examples(
    listCommand(image.command('list').alias('ls').description('the images, each with its newest version'), {
      path: '/v1/images',
      switches: { all: { query: { versions: 'all' }, help: 'every version of each' } },
      empty: 'No images. Import a disk: chrysalis image import NAME FILE; or a kernel: chrysalis image register NAME --digest DIGEST',
      columns: {
        image: (i) => ref(i),
        kind: (i) => (i['disk'] ? (i['disk'].firmware ? 'disk, uefi' : 'disk') : 'kernel'),
        'size mib': (i) => i['disk']?.sizeMiB,
        display: (i) => i['display'],
        digest: (i) => i['digest'],
        age: (i) => age(i['registeredAt']),
      },
    }),
    'image list',
    'image list --all',
  );
};

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
  await assertImage(name);
  const came = file === undefined ? await take(run, hostPath!, wanted!) : await upload(run, file, wanted ?? (await formatOf(file)));
  const { digest } = came;
  const { format: of, sizeMiB } = came.disk!;
  const disk = { format: of, sizeMiB, ...firmwareOf(options) };
  const { answer, beside } = await registerAs(client, name, { digest: digest!, cmdline: '', disk, ...displayOf(options) });
  const by = 'firmware' in disk ? ' that is booted by UEFI' : '';
  const what = `${disk.format}, a disk of ${disk.sizeMiB} MiB${by}, ${digest}`;
  await print(format, answer, () => `imported ${ref(answer.image)}: ${what}${besideText(answer.image, beside)}`);
};

/** Of a file of one's own; what a server holds it to it is told. */
const formatOf = async (path: string): Promise<Format> => {
  const file = await opened(path);
  const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0).finally(() => file.close());
  return buffer.toString('latin1') === 'QFI\xfb' ? 'qcow2' : 'raw';
};

const opened = async (path: string): Promise<FileHandle> => {
  const fault = (error: unknown): never => {
    throw fileFault(path, error as NodeJS.ErrnoException);
  };
  const file = await open(fileGiven(path), 'r').catch(fault);
  const found = await file.stat();
  if (found.isFile() && found.size > 0) return file;
  await file.close();
  if (found.isDirectory()) return fault({ code: 'EISDIR' });
  throw new UsageError(`${path}: ${found.isFile() ? 'is empty' : 'is no file'}`);
};

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
    const { size: bytes } = await file.stat();
    return await sent(run, { file, path, format, bytes, digest: await digestOf(fileGiven(path)) });
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

/** Before a disk of some GB goes its way. */
export const assertImage = async (text: string): Promise<void> => {
  const { parseRef } = await import('@chrysalis/contracts'); // not at start: only this asks for it
  if (!parseRef(text.includes('@') ? text : `${text}@1`))
    throw new UsageError(
      `${text}: an image is named as in debian, or debian@2: lower-case letters, digits and dashes, and versions from 1`,
    );
};

/** That of the same content, or the next one; and the numbers of those that are there. */
const versionFor = async (
  client: Client,
  text: string,
  content: Content,
): Promise<{ name: string; version: number; versions: number[] }> => {
  const [name = '', said] = text.split('@');
  const there = (await imagesThere(client)).filter((i) => i['name'] === name);
  const versions = there.map((i) => i.version);
  if (said !== undefined) return { name, version: Number(said), versions };
  const alike = ({ digest, cmdline, display, disk }: Content): string => [digest, cmdline, display, disk?.firmware].join('\n');
  const same = there.find((i) => alike(i) === alike(content));
  return { name, version: same?.version ?? 1 + Math.max(0, ...versions), versions };
};

type Registered = BodyOf<'post', '/v1/images'>['image'];
type Content = Omit<Registered, 'name' | 'version'>;
/** As the version that is said; else as the next one, and numbers of versions that were deleted are not given again. */
export const registerAs = async (
  client: Client,
  text: string,
  content: Content,
): Promise<{ answer: AnswerOf<'post', '/v1/images'>; beside: number[] }> => {
  const { versions: beside, ...of } = await versionFor(client, text, content);
  const image = { ...of, ...content };
  try {
    return { answer: await client.post('/v1/images', { body: { image } }), beside };
  } catch (error) {
    if (text.includes('@') || !(error instanceof ApiError) || error.code !== 'image.deleted') throw error;
    const next = { ...image, version: 1 + Number(error.problem['highest']) };
    return { answer: await client.post('/v1/images', { body: { image: next } }), beside };
  }
};

/** Which version a name alone means is nothing that one would see: who makes a VM of it gets the newest. */
export const besideText = ({ name, version }: Registered, beside: readonly number[]): string => {
  const newest = Math.max(0, ...beside);
  if (beside.includes(version)) return `\nit was there already${version < newest ? `; \`--image ${name}\` means ${name}@${newest}` : ''}`;
  if (newest === 0) return '';
  const means = version > newest ? `${name}@${version} from now on` : `${name}@${newest} as before`;
  return `\nversion ${version} of an image that is there; \`--image ${name}\` means ${means}: chrysalis image list --all`;
};
