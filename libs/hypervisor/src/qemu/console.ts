import { readFile, writeFile } from 'node:fs/promises';
import type { Vm } from './vm.ts';

const KEPT = 65_536;

/** Moves what QEMU holds of the console to console.log, which keeps the last 64 KiB. */
export const readConsole = async (vm: Vm): Promise<string> => {
  const fresh = await vm.qmp.execute<string>('ringbuf-read', { device: 'console', size: KEPT, format: 'utf8' });
  const before = await readFile(vm.files.console, 'utf8').catch(() => '');
  const text = (before + fresh).slice(-KEPT);
  if (fresh) await writeFile(vm.files.console, text, { mode: 0o600 });
  return text;
};
