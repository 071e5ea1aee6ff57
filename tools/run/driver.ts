import { existsSync } from 'node:fs';
import path from 'node:path';

export const drivers = ['qemu', 'simulated'] as const;
export type Driver = (typeof drivers)[number];
export type Choice = { readonly driver: Driver; readonly why: string };

/** The driver that was asked for; else QEMU where it is, and the simulated one where it is not. */
export const chooseDriver = (asked: Driver | undefined, where: string = process.env['PATH'] ?? ''): Choice => {
  if (asked) return { driver: asked, why: `--driver ${asked}` };
  const there = where.split(':').some((dir) => dir !== '' && existsSync(path.join(dir, 'qemu-system-x86_64')));
  return there ? { driver: 'qemu', why: 'QEMU is here' } : { driver: 'simulated', why: 'there is no qemu-system-x86_64 here' };
};
