import { readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { HypervisorError, noDisplay } from '../errors.ts';
import type { Vm } from './vm.ts';

/** A screen of 4K full of noise has more: nobody needs that, and it would be held in memory at each step of its way. */
const MAX_BYTES = 16 * 1_048_576;
let taken = 0;

/** QEMU writes it to a file of the VM's own folder, which goes when it is read, and in any case with the VM. */
export const screenOf = async (vm: Vm): Promise<Buffer> => {
  if (!vm.topology.image.display) throw noDisplay(vm.vmId);
  const file = join(vm.files.dir, `screen-${++taken}.png`);
  try {
    await vm.qmp.execute('screendump', { filename: file, format: 'png' });
    const { size } = await stat(file);
    if (size > MAX_BYTES) throw new HypervisorError('hypervisor.screen_too_large', `${size} bytes, at most ${MAX_BYTES}`, { size });
    return await readFile(file);
  } finally {
    await rm(file, { force: true });
  }
};
