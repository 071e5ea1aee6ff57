import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * A VM of 64 KiB of ROM: at the reset vector `mov al,16; out 0xf4,al; hlt`, which ends QEMU with 16 * 2 + 1 = 33.
 * /dev/kvm may exist, and open, and still not run a guest, or lack the features of every named CPU model.
 */
const EXIT_CODE = 33;
const rom = (): Buffer => {
  const image = Buffer.alloc(65_536, 0x90);
  image.set([0xb0, 0x10, 0xe6, 0xf4, 0xf4], 0xfff0);
  return image;
};

const runs = (argv: string[], timeoutMs: number, wanted: (code: number | null, output: string) => boolean): Promise<boolean> =>
  new Promise((resolve) => {
    const child = spawn(argv[0]!, argv.slice(1), { stdio: ['ignore', 'pipe', 'ignore'], timeout: timeoutMs, killSignal: 'SIGKILL' });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString('latin1')).slice(-8192);
      if (wanted(null, output)) child.kill('SIGKILL');
    });
    child.once('error', () => resolve(false));
    child.once('close', (code) => resolve(wanted(code, output)));
  });

/** `qemu64,enforce` refuses a KVM that withholds what every 64-bit guest needs; then the guest kernel itself must speak. */
const kvmWorks = async (qemu: string, kernel: string | undefined): Promise<boolean> => {
  if (!existsSync('/dev/kvm')) return false;
  const dir = await mkdtemp(join(tmpdir(), 'chy-probe-'));
  const common = [
    qemu,
    '-nodefaults',
    '-no-user-config',
    '-display',
    'none',
    '-machine',
    'pc-q35-7.2',
    '-accel',
    'kvm',
    '-cpu',
    'qemu64,enforce',
  ];
  try {
    const bios = join(dir, 'probe.rom');
    await writeFile(bios, rom());
    const exits = [...common, '-m', '32', '-bios', bios, '-device', 'isa-debug-exit,iobase=0xf4,iosize=1'];
    if (!(await runs(exits, 3_000, (code) => code === EXIT_CODE))) return false;
    if (!kernel) return true;
    const boots = [...common, '-m', '256', '-kernel', kernel, '-append', 'console=ttyS0 panic=-1', '-serial', 'stdio', '-no-reboot'];
    return await runs(boots, 5_000, (_, output) => output.includes('Linux version'));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
};

const known = new Map<string, Promise<boolean>>();

/** Decided by a probe VM, once a process. `kernel` makes the probe sure: it must print its first line. */
export const chooseAccelerator = async (qemu: string, kernel?: string): Promise<'kvm' | 'tcg'> => {
  const key = `${qemu} ${kernel ?? ''}`;
  let probe = known.get(key);
  if (!probe) known.set(key, (probe = kvmWorks(qemu, kernel)));
  return (await probe) ? 'kvm' : 'tcg';
};
