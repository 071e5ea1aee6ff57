import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

/** Without a project graph Nx's boundary rule skips itself with a warning: made anew before each lint, 2 s. */
export const prepareGraph = async (root: string): Promise<void> => {
  const dir = await mkdtemp(path.join(tmpdir(), 'chrysalis-graph-'));
  try {
    const nx = path.join(root, 'node_modules/nx/dist/bin/nx.js');
    await promisify(execFile)(process.execPath, [nx, 'graph', `--file=${path.join(dir, 'graph.json')}`], {
      cwd: root,
      env: { ...process.env, NX_DAEMON: 'false', NX_TUI: 'false' },
    });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
};
