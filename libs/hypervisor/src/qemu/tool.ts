import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HypervisorError } from '../errors.ts';
import { QmpClient } from '../qmp.ts';
import { isAlive, kill, lastWords, spawnDetached, waitGone } from './process.ts';

/** A QEMU without a machine, for questions and for making images: 0.1 s. There may be no qemu-img on a host. */
export const withToolQemu = async <T>(
  qemu: string,
  accelerator: 'kvm' | 'tcg',
  work: (qmp: QmpClient) => Promise<T>,
  more: readonly string[] = [],
): Promise<T> => {
  const dir = await mkdtemp(join(tmpdir(), 'chy-tool-'));
  const socket = join(dir, 'qmp.sock');
  const argv = ['-nodefaults', '-no-user-config', '-display', 'none', '-machine', 'none', '-accel', accelerator, ...more];
  // `timeout`: a host agent that is killed in here leaves it behind for two minutes and not for ever.
  const id = await spawnDetached(
    ['timeout', '-k', '5', '120', qemu, ...argv, '-qmp', `unix:${socket},server=on,wait=off`],
    join(dir, 'words'),
  );
  try {
    const qmp = await QmpClient.connect(socket, { alive: () => isAlive(id) }).catch(async () => {
      throw failure(qemu, await lastWords(join(dir, 'words')));
    });
    try {
      return await work(qmp);
    } finally {
      await qmp.execute('quit').catch(() => undefined);
      qmp.close();
    }
  } finally {
    // It ended by `quit`; if not, `timeout` passes the signal on.
    if (!(await waitGone(id, 2_000))) await kill(id, 'SIGTERM');
    await rm(dir, { recursive: true, force: true });
  }
};

const failure = (qemu: string, words: string): HypervisorError =>
  words.includes('failed to run command')
    ? new HypervisorError('hypervisor.qemu_missing', `No ${qemu} on this host. Debian: apt-get install qemu-system-x86`, {
        lastWords: words,
      })
    : new HypervisorError('hypervisor.qemu_exited', `QEMU does not start: ${words || 'without a word'}`, { lastWords: words });
