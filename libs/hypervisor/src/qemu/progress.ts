import { setTimeout as sleep } from 'node:timers/promises';
import type { Progress } from '../driver.ts';
import type { QmpClient } from '../qmp.ts';

type Cpu = { readonly registers: string; readonly waits: boolean; readonly off: boolean };

/** EFLAGS.IF: an interrupt is taken. */
const INTERRUPTS = 0x200;
const FIRST_MS = 2;
const LONGEST_MS = 250;

/** As `info registers -a` prints them. `waits`: halted, and woken by the next interrupt. `off`: halted, and by none. */
export const cpusOf = (text: string): Cpu[] =>
  text
    .split(/^CPU#\d+\s*$/m)
    .map((block) => block.trim())
    .filter((block) => block !== '')
    .map((registers) => {
      const halted = /\bHLT=1\b/.test(registers);
      const flags = Number.parseInt(/\b[RE]FL=([0-9a-f]+)/.exec(registers)?.[1] ?? '0', 16);
      return { registers, waits: halted && (flags & INTERRUPTS) !== 0, off: halted && (flags & INTERRUPTS) === 0 };
    });

/** One CPU that is idle, or that is elsewhere than before, is enough. A machine whose CPUs are all off, or spin on one spot, does nothing. */
export const moves = (before: readonly Cpu[], now: readonly Cpu[]): boolean =>
  now.some((cpu, i) => cpu.waits || (!cpu.off && before[i] !== undefined && before[i].registers !== cpu.registers));

/** Looked at until it is seen to do something, or for so long. Of a guest that is well the second look says so at the latest. */
export const progressOf = async (qmp: QmpClient, withinMs: number): Promise<Progress> => {
  const read = async (): Promise<string> =>
    qmp.execute<string>('human-monitor-command', { 'command-line': 'info registers -a' }).then((text) => text.replaceAll('\r', ''));
  const begun = performance.now();
  let before: Cpu[] = [];
  for (let pause = FIRST_MS; ; pause = Math.min(LONGEST_MS, pause * 2)) {
    const text = await read();
    const now = cpusOf(text);
    if (moves(before, now)) return { moves: true };
    if (performance.now() - begun > withinMs) return { moves: false, registers: text.slice(0, 4_000) };
    before = now;
    await sleep(pause);
  }
};
