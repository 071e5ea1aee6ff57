import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MissingTool, run } from '../guest/debian.ts';
import { madeOnce } from '../guest/made-once.ts';

/** A QEMU beside the system's: the program to start, which takes QEMU's own arguments. */
export type SecondQemu = { readonly program: string; readonly version: string };

const PACKAGES = ['qemu-system-x86', 'qemu-system-common', 'qemu-system-data'];
const SUITE = 'bookworm-backports';

/**
 * QEMU 10 of Debian 12's backports, 13 MB, unpacked into the cache and run from there with the system's own libraries: no root, and
 * nothing of the system changes. Signed package lists, so that what is fetched is Debian's. Throws `MissingTool` where there can be none.
 */
export const ensureSecondQemu = async ({ cacheDir }: { readonly cacheDir: string }): Promise<SecondQemu> => {
  if (releaseOf() !== 'bookworm')
    throw new MissingTool('a second QEMU', `It comes from ${SUITE}, and this system is ${releaseOf() ?? 'not Debian'}.`);
  return madeOnce(join(cacheDir, 'qemu-10'), look, make);
};

const releaseOf = (): string | undefined =>
  existsSync('/etc/os-release') ? /^VERSION_CODENAME=(\w+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] : undefined;

const look = async (dir: string): Promise<SecondQemu | undefined> => {
  try {
    const { version, sha256 } = JSON.parse(await readFile(join(dir, 'manifest.json'), 'utf8')) as { version: string; sha256: string };
    return (await digestOf(join(dir, BINARY))) === sha256 ? { program: join(dir, 'qemu-system-x86_64'), version } : undefined;
  } catch {
    return undefined;
  }
};

const BINARY = 'root/usr/bin/qemu-system-x86_64';
const digestOf = async (file: string): Promise<string> =>
  createHash('sha256')
    .update(await readFile(file))
    .digest('hex');

const make = async (dir: string): Promise<void> => {
  const debs = join(dir, 'debs');
  await fetchInto(debs, join(dir, 'apt'));
  const root = join(dir, 'root');
  for (const deb of await readdir(debs)) if (deb.endsWith('.deb')) await run('dpkg-deb', ['-x', join(debs, deb), root]);
  const version = /version (\S+)/.exec(await run(join(dir, BINARY), ['--version']))?.[1];
  if (!version) throw new Error(`${join(dir, BINARY)} does not say its version`);
  // Its firmware is the system's (`seabios`), its own files are beside it. `exec`: the process that is started is QEMU.
  const script = `#!/bin/sh
here=$(dirname "$0")/root
exec "$here/usr/bin/qemu-system-x86_64" -L "$here/usr/share/qemu" -L "$here/usr/share/seabios" -L /usr/share/qemu -L /usr/share/seabios "$@"
`;
  await writeFile(join(dir, 'qemu-system-x86_64'), script);
  await chmod(join(dir, 'qemu-system-x86_64'), 0o755);
  await writeFile(join(dir, 'manifest.json'), JSON.stringify({ version, sha256: await digestOf(join(dir, BINARY)) }));
  for (const leftover of [debs, join(dir, 'apt')]) await rm(leftover, { recursive: true, force: true });
};

/** Where the system itself gets Debian from. */
const mirror = async (): Promise<string> => {
  const listed = await run('apt-get', ['indextargets', '--format', '$(REPO_URI)', 'Codename: bookworm', 'Component: main']);
  const [first] = listed.split('\n');
  if (!first) throw new MissingTool('a mirror of Debian 12', 'Name one in /etc/apt/sources.list.');
  return first;
};

/** With package lists of its own: the system's know nothing of the suite, and need root. */
const fetchInto = async (debs: string, apt: string): Promise<void> => {
  for (const part of [debs, join(apt, 'lists/partial'), join(apt, 'cache/archives/partial')]) await mkdir(part, { recursive: true });
  const keys = '/usr/share/keyrings/debian-archive-keyring.gpg';
  const sources = join(apt, 'sources.list');
  await writeFile(sources, `deb [signed-by=${keys}] ${await mirror()} ${SUITE} main\n`);
  const options = [
    `-oDir::Etc::sourcelist=${sources}`,
    '-oDir::Etc::sourceparts=-',
    `-oDir::State::lists=${join(apt, 'lists')}`,
    `-oDir::Cache=${join(apt, 'cache')}`,
    '-oAPT::Sandbox::User=',
    '-oDebug::NoLocking=1',
    '-oAcquire::http::Timeout=20',
    '-oAcquire::Retries=1',
  ];
  await run('apt-get', [...options, 'update', '-o', 'APT::Update::Error-Mode=any']);
  await run('apt-get', [...options, 'download', ...PACKAGES.map((name) => `${name}/${SUITE}`)], { cwd: debs });
};
