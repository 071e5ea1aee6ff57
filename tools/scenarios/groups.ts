import { endurance } from './endurance.ts';
import { justBooted } from './just-booted.ts';
import { migration } from './migration.ts';
import { provisioning } from './provisioning.ts';
import type { Recorder } from './scenario.ts';
import { undo } from './undo.ts';

export type Group = { readonly summary: string; readonly run: (recorder: Recorder) => Promise<void> };

export const groups: Readonly<Record<string, Group>> = {
  undo: {
    summary: 'a failure at each step before the switch-over, on real QEMU: all is undone, the service unharmed, the cause named',
    run: undo,
  },
  endurance: {
    summary: 'a VM back and forth between two QEMUs, growing and shrinking, while it serves and writes, on real QEMU (--rounds, 20)',
    run: endurance,
  },
  'just-booted': {
    summary: 'VMs moved at every moment of their start, on real QEMU: none hangs, and each comes up at the target (--rounds, 20)',
    run: justBooted,
  },
  migration: {
    summary:
      'VMs moved and changed in every way between hosts of unlike QEMUs, some while a process, a link or the guest fails, on real QEMU',
    run: migration,
  },
  provisioning: {
    summary:
      'VMs made, started, stopped, ended in every way and deleted, on real QEMU, some while a process is killed: each as it was to be',
    run: provisioning,
  },
};
