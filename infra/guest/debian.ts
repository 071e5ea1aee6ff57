import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const exec = promisify(execFile);

/** Something of the machine is missing; the message says what to type. */
export class MissingTool extends Error {
  constructor(
    readonly tool: string,
    readonly remedy: string,
  ) {
    super(`${tool} is missing. ${remedy}`);
    this.name = 'MissingTool';
  }
}

export const run = async (command: string, args: readonly string[], options: { cwd?: string } = {}): Promise<string> => {
  try {
    const { stdout } = await exec(command, [...args], { ...options, maxBuffer: 64 << 20, env: { ...process.env, LC_ALL: 'C' } });
    return stdout;
  } catch (e) {
    const { code, stderr = '' } = e as { code?: unknown; stderr?: string };
    if (code === 'ENOENT') throw new MissingTool(command, remedies[command] ?? `Install ${command}.`);
    throw new Error(`${command} ${args.join(' ')}: ${stderr.trim().split('\n').slice(-5).join('\n') || String(e)}`, { cause: e });
  }
};
const remedies: Record<string, string> = {
  'apt-get': 'The guest image is made from Debian packages: run this on Debian 12 or later.',
  'apt-cache': 'The guest image is made from Debian packages: run this on Debian 12 or later.',
  'dpkg-deb': 'Type: apt-get install dpkg',
  mksquashfs: 'Type: apt-get install squashfs-tools',
  strip: 'Type: apt-get install binutils',
  xz: 'Type: apt-get install xz-utils',
};

export type DebianPackage = Readonly<{ name: string; version: string; sha256: string }>;

/**
 * Downloads packages and what their programs are linked to, and unpacks them under `root`. Needs no root:
 * the machine's package lists are read; where there are none, or they are too old, a private copy is fetched into `aptDir`.
 */
export const unpackPackages = async (o: {
  wanted: readonly string[];
  root: string;
  debs: string;
  aptDir: string;
}): Promise<DebianPackage[]> => {
  await mkdir(o.debs, { recursive: true });
  await mkdir(o.root, { recursive: true });
  await chmod(o.debs, 0o777); // apt drops to the user _apt when it is root
  await fetchAll(o);
  const packages: DebianPackage[] = [];
  for (const deb of (await readdir(o.debs)).filter((f) => f.endsWith('.deb')).sort()) {
    const path = join(o.debs, deb);
    await run('dpkg-deb', ['-x', path, o.root]);
    const [name, version] = (await run('dpkg-deb', ['-f', path, 'Package', 'Version'])).split('\n').map((l) => l.replace(/^\w+: /, ''));
    packages.push({
      name: name!,
      version: version!,
      sha256: createHash('sha256')
        .update(await readFile(path))
        .digest('hex'),
    });
  }
  return packages;
};

const fetchAll = async (o: { wanted: readonly string[]; debs: string; aptDir: string }): Promise<void> => {
  try {
    return await fetchWith(o, []);
  } catch (e) {
    if (e instanceof MissingTool) throw e;
    const options = [
      `-oDir::State::lists=${join(o.aptDir, 'lists')}`,
      `-oDir::Cache=${join(o.aptDir, 'cache')}`,
      '-oAPT::Sandbox::User=',
      '-oDebug::NoLocking=1',
    ];
    await mkdir(join(o.aptDir, 'lists/partial'), { recursive: true });
    await mkdir(join(o.aptDir, 'cache/archives/partial'), { recursive: true });
    await run('apt-get', [...options, 'update']);
    return fetchWith(o, options);
  }
};

const fetchWith = async (o: { wanted: readonly string[]; debs: string }, options: string[]): Promise<void> => {
  const without = ['recommends', 'suggests', 'conflicts', 'breaks', 'replaces', 'enhances'].map((k) => `--no-${k}`);
  const listing = await run('apt-cache', [...options, 'depends', '--recurse', ...without, ...o.wanted]);
  const names = listing.split('\n').filter((l) => /^[a-z0-9]/.test(l));
  // The closure holds what packages need to install as well; what programs are linked to is named lib*.
  const needed = names.filter((n) => o.wanted.includes(n) || /^lib(?!.*perl)/.test(n) || /^linux-image-\d/.test(n));
  await run('apt-get', [...options, 'download', ...needed], { cwd: o.debs });
};

/** Finds a file in the unpacked tree, whether its release has merged /usr or not. */
export const inRoot = (root: string, ...candidates: string[]): string => {
  const found = candidates.flatMap((c) => [join(root, c), join(root, 'usr', c)]).find((p) => existsSync(p));
  if (!found) throw new Error(`the Debian packages hold none of ${candidates.join(', ')}`);
  return found;
};

/** What a program is linked to, resolved against the unpacked tree by its own dynamic linker: name -> path. */
export const librariesOf = async (root: string, programs: readonly string[]): Promise<Map<string, string>> => {
  const linker = inRoot(root, 'lib64/ld-linux-x86-64.so.2', 'lib/x86_64-linux-gnu/ld-linux-x86-64.so.2');
  const path = ['lib/x86_64-linux-gnu', 'usr/lib/x86_64-linux-gnu', 'lib64', 'usr/lib64'].map((d) => join(root, d)).join(':');
  const found = new Map<string, string>();
  for (const program of programs) {
    const lines = (await run(linker, ['--library-path', path, '--list', program])).split('\n');
    for (const line of lines) {
      const m = /^\s*(\S+) => (\S+) \(/.exec(line);
      if (!m) continue;
      if (!m[2]!.startsWith(root)) throw new Error(`${program} needs ${m[1]}, which the Debian packages do not hold`);
      found.set(m[1]!.split('/').pop()!, m[2]!);
    }
  }
  found.set('ld-linux-x86-64.so.2', linker);
  return found;
};
