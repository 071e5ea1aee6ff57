import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, mkdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build, type Plugin } from 'esbuild';
import { inRoot, librariesOf, run, unpackPackages, type DebianPackage } from './debian.ts';
import { withoutSections } from './elf.ts';
import { madeOnce } from './made-once.ts';

type Digest = `sha256:${string}`;
export type AgentManifest = Readonly<{
  version: string;
  digest: Digest;
  bytes: number;
  node: string;
  files: Readonly<Record<string, string>>;
  packages: readonly DebianPackage[];
}>;
export type AgentPackage = Readonly<{ file: string; digest: Digest; version: string; manifest: AgentManifest }>;

const repository = join(import.meta.dirname, '../..');
const agentDir = join(repository, 'apps/migration-agent');
const require = createRequire(import.meta.url);
const sha256 = (data: Uint8Array | string): string => createHash('sha256').update(data).digest('hex');

/**
 * The read-only disk that brings the migration agent into a running guest: Node, a snapshot of its heap with the agent loaded, resize2fs,
 * and the libraries of both, so that the guest's own do not matter. The same sources and packages give the same bytes, so a grant can
 * name its digest.
 */
export const ensureAgentPackage = async (o: { cacheDir: string }): Promise<AgentPackage> => {
  const bundle = await bundleAgent();
  const node = await nodeFile();
  const { version: nodeVersion } = require('node/package.json') as { version: string };
  const recipe = await Promise.all(['agent-package.ts', 'debian.ts', 'elf.ts'].map((f) => readFile(join(import.meta.dirname, f), 'utf8')));
  const dir = join(o.cacheDir, `agent-${sha256(JSON.stringify([recipe, bundle.code, nodeVersion])).slice(0, 16)}`);
  return madeOnce(dir, fromCache, (work) => make(work, { node, nodeVersion, ...bundle }));
};

const nodeFile = (): Promise<string> => realpath(join(dirname(require.resolve('node/package.json')), 'bin/node'));

const fromCache = async (dir: string): Promise<AgentPackage | undefined> => {
  try {
    const manifest = JSON.parse(await readFile(join(dir, 'manifest.json'), 'utf8')) as AgentManifest;
    const file = join(dir, 'agent.squashfs');
    return (await digestOf(file)) === manifest.digest ? { file, digest: manifest.digest, version: manifest.version, manifest } : undefined;
  } catch {
    return undefined;
  }
};

const digestOf = async (file: string): Promise<Digest> => {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return `sha256:${hash.digest('hex')}`;
};

const bundleAgent = async (): Promise<{ code: string; version: string }> => {
  const { version } = JSON.parse(await readFile(join(agentDir, 'package.json'), 'utf8')) as { version: string };
  const result = await build({
    entryPoints: [join(agentDir, 'src/main.ts')],
    absWorkingDir: repository,
    bundle: true,
    write: false,
    platform: 'node',
    target: 'node24',
    format: 'cjs', // what a snapshot is built from
    minify: true,
    legalComments: 'none',
    define: { CHRYSALIS_AGENT_VERSION: JSON.stringify(version) },
    plugins: [ownModulesAreShaken],
  });
  return { code: result.outputFiles[0]!.text, version };
};

/**
 * Modules of ours do nothing when loaded, so that what the agent does not use of them stays out; and `import * as z` leaves zod's 50
 * languages out, which `import { z }` brings along (508 kB -> 184 kB).
 */
const ownModulesAreShaken: Plugin = {
  name: 'own-modules-are-shaken',
  setup: (b) => {
    b.onResolve({ filter: /^(@chrysalis\/|\.)/ }, async (args) => {
      if (args.pluginData === 'resolved') return undefined;
      const { kind, importer, resolveDir } = args;
      const { path } = await b.resolve(args.path, { kind, importer, resolveDir, pluginData: 'resolved' });
      return relative(repository, path).includes('node_modules') ? { path } : { path, sideEffects: path.endsWith('main.ts') };
    });
    b.onLoad({ filter: /\/(libs|apps)\/.*\.ts$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      return { contents: text.replace("import { z } from 'zod';", "import * as z from 'zod';"), loader: 'ts' };
    });
  },
};

/** Node sets these anew in the process that starts from the snapshot: the maker's own would differ from one making to the next, or place. */
const noMaker = [
  `for (const [name, value] of [['pid', 0], ['argv0', 'node']])`,
  `  Object.defineProperty(process, name, { value, writable: true, enumerable: true, configurable: true });`,
  `process.argv[0] = process.execPath = 'node';`,
  '',
].join('\n');

/**
 * The agent as it is after loading. What V8 would draw at random is given, and the script's name is the same in every folder, so that the
 * same code gives the same bytes, wherever `node` lies. Node refuses a snapshot of another version or architecture.
 */
export const agentSnapshot = async (work: string, code?: string, node?: string): Promise<Buffer> => {
  await writeFile(join(work, 'agent.cjs'), noMaker + (code ?? (await bundleAgent()).code));
  const args = ['--random-seed=1', '--hash-seed=1', '--predictable', '--snapshot-blob', 'agent.blob', '--build-snapshot'];
  await run('env', ['-i', node ?? (await nodeFile()), ...args, '/proc/self/cwd/agent.cjs'], { cwd: work }); // with no variable of the maker's
  return readFile(join(work, 'agent.blob'));
};

const make = async (work: string, o: { node: string; nodeVersion: string; code: string; version: string }): Promise<void> => {
  const root = join(work, 'root');
  const packages = await unpackPackages({
    wanted: ['e2fsprogs', 'libstdc++6', 'libgcc-s1'],
    root,
    debs: join(work, 'debs'),
    aptDir: join(work, 'apt'),
  });
  const tree = join(work, 'tree');
  const resize2fs = inRoot(root, 'sbin/resize2fs');
  const contents = new Map<string, Buffer>([
    ['bin/node', withoutSections(await readFile(o.node))],
    ['bin/resize2fs', await readFile(resize2fs)],
    ['agent.blob', await agentSnapshot(work, o.code)],
  ]);
  for (const [name, path] of await librariesOf(await realpath(root), [o.node, resize2fs]))
    contents.set(`lib/${name}`, await readFile(path));
  for (const [path, data] of contents) {
    await mkdir(dirname(join(tree, path)), { recursive: true });
    await writeFile(join(tree, path), data);
    await chmod(join(tree, path), 0o755);
  }
  for (const d of ['', 'bin', 'lib']) await chmod(join(tree, d), 0o755);

  const file = join(work, 'agent.squashfs');
  await run('mksquashfs', [
    tree,
    file,
    '-quiet',
    '-no-progress',
    '-comp',
    'lz4',
    '-all-root',
    '-no-xattrs',
    '-all-time',
    '0',
    '-mkfs-time',
    '0',
    '-noappend',
  ]);
  const digest = await digestOf(file);
  const files = Object.fromEntries([...contents].map(([path, data]) => [path, sha256(data)]));
  const { length: bytes } = await readFile(file);
  const manifest: AgentManifest = { version: o.version, digest, bytes, node: o.nodeVersion, files, packages };
  await writeFile(join(work, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  for (const d of ['root', 'debs', 'apt', 'tree', 'agent.cjs', 'agent.blob']) await rm(join(work, d), { recursive: true, force: true });
};

if (process.argv[1] && fileURLToPath(import.meta.url) === (await realpath(process.argv[1]))) {
  const { values } = parseArgs({ options: { 'cache-dir': { type: 'string', default: '.cache' } } });
  const { file, digest, version } = await ensureAgentPackage({ cacheDir: values['cache-dir'] });
  process.stdout.write(`${JSON.stringify({ file, digest, version }, null, 2)}\n`);
}
