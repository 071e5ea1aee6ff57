import { justBooted } from './just-booted.ts';
import { undo } from './undo.ts';

/** The shape of one line of the scenario table; `invariants` as the verifier judged them. */
export type Scenario = {
  readonly name: string;
  readonly group: string;
  readonly driver: 'qemu' | 'simulated';
  readonly expected: unknown;
  readonly observed: unknown;
  readonly ok: boolean;
  readonly ms: number;
  readonly invariants: Readonly<Record<string, boolean>>;
};
export type Recorder = {
  readonly signal: AbortSignal;
  /** Of a group that repeats one thing. */
  readonly rounds: number;
  readonly say: (text: string) => void;
  readonly record: (scenario: Scenario) => void;
};
export type Group = { readonly summary: string; readonly run: (recorder: Recorder) => Promise<void> };

export const groups: Readonly<Record<string, Group>> = {
  undo: {
    summary: 'a failure at each step before the switch-over, on real QEMU: all is undone, the service unharmed, the cause named',
    run: undo,
  },
  'just-booted': {
    summary: 'VMs moved at every moment of their start, on real QEMU: none hangs, and each comes up at the target (--rounds, 20)',
    run: justBooted,
  },
};
