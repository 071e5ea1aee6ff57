import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HypervisorError } from '../errors.ts';
import { QmpClient } from '../qmp.ts';
import { isAlive, kill, lastWords, spawnDetached } from './process.ts';

/** A QEMU without a machine, for questions and for making images: 0.1 s. There may be no qemu-img on a host. */
export const withToolQemu = async <T>(qemu: string, accelerator: 'kvm' | 'tcg', work: (qmp: QmpClient) => Promise<T>): Promise<T> => {
  const dir = await mkdtemp(join(tmpdir(), 'chy-tool-'));
  const socket = join(dir, 'qmp.sock');
  const argv = ['-nodefaults', '-no-user-config', '-display', 'none', '-machine', 'none', '-accel', accelerator];
  const id = await spawnDetached([qemu, ...argv, '-qmp', `unix:${socket},server=on,wait=off`], join(dir, 'words'));
  try {
    const qmp = await QmpClient.connect(socket, { alive: () => isAlive(id) }).catch(async (error: Error) => {
      throw new HypervisorError('hypervisor.qemu_exited', `QEMU does not start: ${error.message}`, {
        lastWords: await lastWords(join(dir, 'words')),
      });
    });
    try {
      return await work(qmp);
    } finally {
      qmp.close();
    }
  } finally {
    await kill(id);
    await rm(dir, { recursive: true, force: true });
  }
};
