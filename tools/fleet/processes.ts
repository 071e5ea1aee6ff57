import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export type QemuProcess = { readonly pid: number; readonly netns: string; readonly argv: readonly string[] };

/** The QEMUs of a VM as the kernel tells it: by the uuid on their command lines, whoever started them. */
export const qemuProcessesOf = (uuid: string): QemuProcess[] =>
  readdirSync('/proc')
    .filter((n) => /^\d+$/.test(n))
    .flatMap((pid) => {
      try {
        const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        if (!/qemu-system/.test(argv[0] ?? '') || !argv.some((a) => a.includes(uuid))) return [];
        return [{ pid: Number(pid), netns: readlinkSync(`/proc/${pid}/ns/net`), argv }];
      } catch {
        return []; // it ended while we looked
      }
    });

/** The network namespace a process is in. */
export const netnsOf = (pid: number): string => readlinkSync(`/proc/${pid}/ns/net`);

/** The second monitor of a QEMU, which the product leaves alone, from its command line. */
export const spareMonitorOf = (q: QemuProcess): string | undefined =>
  q.argv.flatMap((a) => (a.includes('id=mon1') ? [/path=([^,]+)/.exec(a)?.[1]] : [])).find((p) => p !== undefined);
