import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { MissingTool, run } from './debian.ts';

const asRoot = process.getuid!() === 0;

/** Without root, mmdebstrap gives the tree to users of a namespace: only there can it be read and removed. */
export const asOwner = (command: string, args: readonly string[]): Promise<string> =>
  asRoot ? run(command, args) : run('mmdebstrap', ['--unshare-helper', command, ...args]);

type Install = Readonly<{ suite: string; root: string; recipe: string; work: string; say: (line: string) => void }>;

/** A Debian in the folder `root`, by the packages, the tree and the script of `recipe`. What mmdebstrap is about is said. */
export const installDebian = async ({ suite, root, recipe, work, say }: Install): Promise<void> => {
  const tree = join(work, 'tree.tar');
  const ours = ['--owner=0', '--group=0', '--mode=u=rwX,go=rX'];
  await run('tar', [...ours, '-cf', tree, '-C', join(recipe, 'tree'), 'boot', 'etc']);
  const packages = (await readFile(join(recipe, 'packages'), 'utf8')).trim().split('\n');
  const inside = 'env -u APT_CONFIG DEBIAN_FRONTEND=noninteractive';
  await mmdebstrap(say, [
    ...['--variant=minbase', '--architectures=amd64', '--format=directory', `--mode=${asRoot ? 'root' : 'unshare'}`],
    ...[`--include=${packages.join(',')}`, '--aptopt=APT::Install-Recommends "false"', ...(await machinesOptions())],
    ...['doc', 'man', 'locale', 'info'].map((d) => `--dpkgopt=path-exclude=/usr/share/${d}/*`),
    ...['--dpkgopt=path-include=/usr/share/doc/*/copyright', '--dpkgopt=force-confold', '--dpkgopt=force-unsafe-io'],
    // Before the packages: the kernel's own initrd is then made as tree/ says.
    `--essential-hook=tar-in ${quoted(tree)} /`,
    `--customize-hook=upload ${quoted(join(recipe, 'setup.sh'))} /tmp/setup.sh`,
    `--customize-hook=chroot "$1" ${inside} sh /tmp/setup.sh && rm "$1/tmp/setup.sh"`,
    ...[suite, root, ...(await sources(suite))],
  ]);
};
const quoted = (path: string): string => `'${path.replaceAll("'", `'\\''`)}'`;

/** Where the machine gets Debian from. */
const sources = async (suite: string): Promise<string[]> => {
  const known = (await run('apt-get', ['indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages'])).split('\n');
  const from = (name: string): string => {
    const uri = known.find((one) => new RegExp(`/${name}/?$`).test(one));
    if (uri === undefined) throw new MissingTool(`a mirror of ${name}`, "Name one in the machine's apt sources, and type: apt-get update");
    return uri;
  };
  return [
    `deb ${from('debian')} ${suite} main`,
    `deb ${from('debian')} ${suite}-updates main`,
    `deb ${from('debian-security')} ${suite}-security main`,
  ];
};

/** How the machine's apt reaches its mirror, and whether it may be an old one. */
const machinesOptions = async (): Promise<string[]> =>
  (await run('apt-config', ['dump']))
    .split('\n')
    .filter((l) => /^Acquire::(Check-Valid-Until|Check-Date|https?::Proxy) /.test(l))
    .map((l) => `--aptopt=${l}`);

/**
 * Its `I: installing …` lines are what it is about. Of a failure the last lines tell.
 * As root in mounts of its own: whatever ends it, no /proc or /dev stays mounted in a folder that is then removed.
 */
const mmdebstrap = async (say: (line: string) => void, args: readonly string[]): Promise<void> => {
  const child = spawn(asRoot ? 'unshare' : 'mmdebstrap', asRoot ? ['--mount', 'mmdebstrap', ...args] : args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C' },
  });
  const last: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    createInterface(stream).on('line', (line) => {
      if (line.startsWith('I: ')) say(line.slice(3));
      last.push(line);
      if (last.length > 30) last.shift();
    });
  const [code] = (await once(child, 'close').catch((e: NodeJS.ErrnoException) => {
    if (e.code === 'ENOENT') throw new MissingTool('mmdebstrap', 'Type: apt-get install mmdebstrap uidmap');
    throw e;
  })) as [number | null];
  if (code !== 0) throw new Error(`mmdebstrap ended with ${code}:\n${last.join('\n')}`);
};
