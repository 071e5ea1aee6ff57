import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const folder = fileURLToPath(new URL('./peers', import.meta.url));

/** Installs the peers, from their own lockfile, unless they are there. */
export const installPeers = (progress: (text: string) => void): void => {
  if (existsSync(path.join(folder, 'node_modules', '.package-lock.json'))) return;
  progress('installing the peers to measure against');
  const cli = process.env['npm_execpath'];
  const [command, first] = cli?.endsWith('.js') ? [process.execPath, [cli]] : ['npm', []];
  execFileSync(command, [...first, 'ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
};

/** Loads a peer, as its own package would be loaded from the peers' folder. */
export const loadPeer = async <T>(name: string): Promise<{ module: T; version: string }> => {
  const require = createRequire(path.join(folder, 'package.json'));
  const root = path.join(folder, 'node_modules', name);
  const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { version: string };
  return { module: (await import(pathToFileURL(require.resolve(name)).href)) as T, version };
};
