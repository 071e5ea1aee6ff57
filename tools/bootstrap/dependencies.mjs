import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

/** `npm ci`, unless what is installed was installed from this very lockfile. */
export const installDependencies = (root) => {
  const digest = createHash('sha256');
  for (const file of ['package.json', 'package-lock.json']) digest.update(fs.readFileSync(path.join(root, file)));
  const wanted = digest.digest('hex');
  const stamp = path.join(root, 'node_modules/.installed-from');
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === wanted) return;
  console.error('Installing dependencies (npm ci), about a minute the first time …');
  // With the machine's Node on a lockfile made for a later one npm warns of engines: the project's own Node comes with it.
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
    env: { ...process.env, NODE_ENV: 'development' },
  });
  if (status !== 0) {
    console.error('npm ci failed. The lines above say why; it needs a reachable npm registry and about 700 MB of disk.');
    process.exit(1);
  }
  fs.writeFileSync(stamp, wanted);
};
