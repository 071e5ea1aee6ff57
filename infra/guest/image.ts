import { createHash } from 'node:crypto';
import { readFile, readdir, realpath, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { charDevice, cpio, directory, file, link, type CpioEntry } from './cpio.ts';
import { inRoot, librariesOf, run, unpackPackages, type DebianPackage } from './debian.ts';
import { madeOnce } from './made-once.ts';

/** A tenant's public key (Ed25519): in the guest it is /etc/chrysalis/trust.d/<kid>.jwk. */
export type TrustedKey = Readonly<{ kid: string; kty: 'OKP'; crv: 'Ed25519'; x: string }>;
export type GuestImage = Readonly<{ kernel: string; initrd: string; cmdline: string; digest: `sha256:${string}` }>;
type Manifest = Readonly<{
  cmdline: string;
  digest: `sha256:${string}`;
  files: { kernel: string; initrd: string };
  packages: readonly DebianPackage[];
}>;

/**
 * `movable_node`: plugged memory can be taken out again. `memhp_default_state=offline`: the agent's online step does it, nobody else.
 * A panic restarts the guest: its boot id then tells. `mitigations=off` would spare an emulated CPU a second, and is not taken: with it
 * a guest that was moved was seen to have lost writes (see "Moves of a guest that starts" in docs/roadmap.md).
 */
const cmdline = 'console=ttyS0 quiet panic=-1 movable_node memhp_default_state=offline';
const wanted = ['linux-image-cloud-amd64', 'busybox-static', 'qemu-guest-agent', 'e2fsprogs', 'perl-base'];
const modules = [
  'virtio_pci',
  'virtio_blk',
  'virtio_net',
  'virtio_console',
  'virtio_balloon',
  'virtio_mem',
  'virtio-rng',
  'squashfs',
  'loop',
];
const here = import.meta.dirname;

const sha256 = (data: Uint8Array | string): string => createHash('sha256').update(data).digest('hex');

/**
 * The kernel and initial RAM disk that VMs boot, made from Debian packages without root. The second call finds them by the digest of
 * what they are made from (this recipe, the files in rootfs/, the trusted keys) and answers in the time it takes to checksum them. With
 * keys it is the image without any and one archive more: packages are fetched once, whoever is trusted.
 */
export const ensureGuestImage = async (o: { cacheDir: string; trustedKeys?: readonly TrustedKey[] }): Promise<GuestImage> => {
  const keys = [...(o.trustedKeys ?? [])].map(publicKeyOnly).sort((a, b) => (a.kid < b.kid ? -1 : 1));
  const dir = join(o.cacheDir, `guest-${(await recipeDigest(keys)).slice(0, 16)}`);
  return madeOnce(dir, fromCache, async (work) =>
    keys.length > 0 ? trusting(await ensureGuestImage({ cacheDir: o.cacheDir }), work, keys) : build(work),
  );
};

const fromCache = async (dir: string): Promise<GuestImage | undefined> => {
  try {
    const m = JSON.parse(await readFile(join(dir, 'manifest.json'), 'utf8')) as Manifest;
    const kernel = join(dir, 'vmlinuz');
    const initrd = join(dir, 'initrd.cpio');
    const intact = sha256(await readFile(kernel)) === m.files.kernel && sha256(await readFile(initrd)) === m.files.initrd;
    return intact ? { kernel, initrd, cmdline: m.cmdline, digest: m.digest } : undefined;
  } catch {
    return undefined;
  }
};

const recipeDigest = async (keys: readonly TrustedKey[]): Promise<string> => {
  const sources = ['image.ts', 'cpio.ts', 'debian.ts', ...(await readdir(join(here, 'rootfs'))).sort().map((f) => `rootfs/${f}`)];
  const texts = await Promise.all(sources.map(async (f) => [f, await readFile(join(here, f), 'utf8')]));
  return sha256(JSON.stringify([texts, keys]));
};

/** Copies the public members by name: a private key handed in by mistake does not reach the image. */
const publicKeyOnly = (k: TrustedKey): TrustedKey => {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,126}$/.test(k.kid)) throw new Error(`not a key id: ${JSON.stringify(k.kid)}`);
  if (k.kty !== 'OKP' || k.crv !== 'Ed25519' || !/^[A-Za-z0-9_-]{43}$/.test(k.x))
    throw new Error(`key ${k.kid} is not an Ed25519 public key`);
  return { kid: k.kid, kty: k.kty, crv: k.crv, x: k.x };
};

/** The kernel unpacks archives that follow each other, one over the other. */
const trusting = async (base: GuestImage, work: string, keys: readonly TrustedKey[]): Promise<void> => {
  const trusted = cpio(keys.map((k) => file(`etc/chrysalis/trust.d/${k.kid}.jwk`, Buffer.from(`${JSON.stringify(k)}\n`), 0o644)));
  const { packages } = JSON.parse(await readFile(join(base.kernel, '../manifest.json'), 'utf8')) as Manifest;
  await write(work, { kernel: await readFile(base.kernel), initrd: Buffer.concat([await readFile(base.initrd), trusted]), packages });
};

const build = async (work: string): Promise<void> => {
  const root = join(work, 'root');
  const packages = await unpackPackages({ wanted, root, debs: join(work, 'debs'), aptDir: join(work, 'apt') });
  const boot = join(root, 'boot');
  const vmlinuz = (await readdir(boot)).find((f) => f.startsWith('vmlinuz-'));
  if (!vmlinuz) throw new Error('the kernel package holds no vmlinuz');

  const kernel = await readFile(join(boot, vmlinuz));
  const initrd = cpio([
    ...(await programs(await realpath(root))),
    ...(await kernelModules(root, vmlinuz.replace('vmlinuz-', ''))),
    ...(await configuration()),
  ]);
  await write(work, { kernel, initrd, packages });
  for (const d of ['root', 'debs', 'apt']) await rm(join(work, d), { recursive: true, force: true });
};

type Made = { readonly kernel: Buffer; readonly initrd: Buffer; readonly packages: readonly DebianPackage[] };
const write = async (work: string, { kernel, initrd, packages }: Made): Promise<void> => {
  const files = { kernel: sha256(kernel), initrd: sha256(initrd) };
  const digest = `sha256:${sha256(JSON.stringify([files.kernel, files.initrd, cmdline]))}` as const;
  await writeFile(join(work, 'vmlinuz'), kernel);
  await writeFile(join(work, 'initrd.cpio'), initrd); // not compressed: QEMU hands it over in one piece, and TCG unpacks slowly
  await writeFile(join(work, 'manifest.json'), `${JSON.stringify({ cmdline, digest, files, packages } satisfies Manifest, null, 2)}\n`);
};

const programs = async (root: string): Promise<CpioEntry[]> => {
  const dynamic = { 'usr/sbin/qemu-ga': ['sbin/qemu-ga'], 'sbin/mke2fs': ['sbin/mke2fs'], 'usr/bin/perl': ['bin/perl'] };
  const found = Object.entries(dynamic).map(([to, from]) => [to, inRoot(root, ...from)] as const);
  const libraries = await librariesOf(
    root,
    found.map(([, from]) => from),
  );
  return [
    file('bin/busybox', await readFile(inRoot(root, 'bin/busybox'))),
    ...(await Promise.all(found.map(async ([to, from]) => file(to, await readFile(from))))),
    ...(await Promise.all([...libraries].map(async ([name, from]) => file(`lib/x86_64-linux-gnu/${name}`, await readFile(from))))),
    file('usr/lib/x86_64-linux-gnu/perl-base/strict.pm', await readFile(inRoot(root, 'lib/x86_64-linux-gnu/perl-base/strict.pm')), 0o644),
    link('lib64', 'lib/x86_64-linux-gnu'),
  ];
};

/** The modules and what they depend on (their own `depends=` field), in the order in which they can be loaded. */
const kernelModules = async (root: string, release: string): Promise<CpioEntry[]> => {
  const dir = inRoot(root, `lib/modules/${release}`);
  const builtin = new Set((await readFile(join(dir, 'modules.builtin'), 'utf8')).split('\n').map((l) => moduleName(l)));
  const paths = (await readdir(join(dir, 'kernel'), { recursive: true })).filter((p) => /\.ko(\.xz)?$/.test(p));
  const byName = new Map(paths.map((p) => [moduleName(p), join(dir, 'kernel', p)]));
  const loaded = new Map<string, Buffer>();
  const add = async (name: string): Promise<void> => {
    const key = moduleName(name);
    if (builtin.has(key) || loaded.has(key)) return;
    const path = byName.get(key);
    if (!path) throw new Error(`the kernel ${release} has no module ${name}`);
    if (path.endsWith('.xz')) await run('xz', ['-d', path]);
    const data = await readFile(path.replace(/\.xz$/, ''));
    const depends = /\0depends=([^\0]*)\0/.exec(data.toString('latin1'))?.[1] ?? '';
    for (const d of depends.split(',').filter(Boolean)) await add(d);
    loaded.set(key, unsigned(data));
  };
  for (const m of modules) await add(m);
  return [
    ...[...loaded].map(([name, data]) => file(`lib/modules/${name}.ko`, data, 0o644)),
    file('etc/modules', Buffer.from([...loaded.keys()].map((n) => `${n}.ko\n`).join('')), 0o644),
  ];
};
/** Nothing asks for the signature at a module's end, and each takes an emulated CPU some 20 ms to check. */
const unsigned = (module: Buffer): Buffer => {
  const mark = Buffer.from('~Module signature appended~\n');
  const end = module.length - mark.length;
  if (!module.subarray(end).equals(mark)) return module;
  return module.subarray(0, end - 12 - module.readUInt32BE(end - 4)); // the signature, 12 bytes about it, the mark
};
const moduleName = (path: string): string =>
  basename(path)
    .replace(/\.ko(\.xz)?$/, '')
    .replaceAll('-', '_');

const configuration = async (): Promise<CpioEntry[]> => {
  const rootfs = async (name: string, to: string, mode?: number): Promise<CpioEntry> =>
    file(to, await readFile(join(here, 'rootfs', name)), mode);
  const text = (path: string, lines: string): CpioEntry => file(path, Buffer.from(lines), 0o644);
  return [
    ...['proc', 'sys', 'dev', 'run', 'tmp', 'data', 'sbin', 'root', 'mnt', 'etc/chrysalis/trust.d'].map(directory),
    charDevice('dev/console', 5, 1),
    await rootfs('init', 'init'),
    await rootfs('inittab', 'etc/inittab', 0o644),
    await rootfs('mdev.conf', 'etc/mdev.conf', 0o644),
    await rootfs('port-link', 'usr/lib/chrysalis/port-link'),
    await rootfs('service.pl', 'usr/lib/chrysalis/service.pl', 0o644),
    await rootfs('shutdown', 'sbin/shutdown'),
    text('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n'),
    text('etc/group', 'root:x:0:\nnogroup:x:65534:\n'),
    text(
      'etc/mke2fs.conf',
      '[defaults]\n\tbase_features = sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr\n[fs_types]\n\tsmall = {\n\t\tinode_size = 256\n\t}\n\text4 = {\n\t\tfeatures = has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize\n\t\tinode_size = 256\n\t}\n',
    ),
    text('etc/os-release', 'ID=chrysalis-guest\nVERSION_ID=1\nPRETTY_NAME="Chrysalis guest"\n'),
  ];
};

if (process.argv[1] && fileURLToPath(import.meta.url) === (await realpath(process.argv[1]))) {
  const { values } = parseArgs({
    options: { 'cache-dir': { type: 'string', default: '.cache' }, 'trusted-key': { type: 'string', multiple: true, default: [] } },
  });
  const trustedKeys = await Promise.all(values['trusted-key'].map(async (f) => JSON.parse(await readFile(f, 'utf8')) as TrustedKey));
  process.stdout.write(`${JSON.stringify(await ensureGuestImage({ cacheDir: values['cache-dir'], trustedKeys }), null, 2)}\n`);
}
