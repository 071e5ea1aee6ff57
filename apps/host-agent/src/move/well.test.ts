import { expect, test } from '@jest/globals';
import { ConsoleRing, type ConsoleLog, type GuestConsole, type Progress } from '@chrysalis/hypervisor';
import { pino } from 'pino';
import { notWell } from './well.ts';

const PANIC = 'Kernel panic - not syncing: Attempted to kill the idle task!';
type Start = 'boots' | 'stands still' | 'panics' | 'panics later';

/** A guest that begins, and at each reset begins anew, as told; its clock goes only while somebody waits. */
const guest = (...starts: Start[]) => {
  let [now, since, resets, written] = [0, 0, 0, ''];
  const start = (): Start => starts[Math.min(resets, starts.length - 1)]!;
  const age = (): number => now - since;
  const text = (): string =>
    start() === 'panics' || (start() === 'panics later' && age() > 5_000) ? `${written}[0.1] ${PANIC}\n` : `${written}[0.1] Linux\n`;
  const driver = {
    progress: async (_: string, withinMs: number): Promise<Progress> => {
      if (start() !== 'stands still') return { moves: true };
      now += withinMs;
      return { moves: false, registers: 'HLT=1' };
    },
    consoleOf: () => {
      const ring = new ConsoleRing();
      ring.add(Buffer.from(text()));
      return ring as ConsoleLog as GuestConsole;
    },
    pressReset: async () => {
      written = text();
      resets++;
      since = now;
    },
  };
  const sleep = async (ms: number): Promise<void> => void (now += ms);
  return { deps: { driver, log: pino({ level: 'silent' }), now: () => now, sleep }, resets: () => resets, now: () => now };
};

test('a guest that is well is seen to be so at once, and one that restarted is watched for the time of a start', async () => {
  const calm = guest('boots');
  expect([await notWell(calm.deps, 'vm', false), calm.now()]).toEqual([undefined, 0]);
  const restarted = guest('boots');
  expect([await notWell(restarted.deps, 'vm', true), restarted.resets()]).toEqual([undefined, 0]);
  expect(restarted.now()).toBeGreaterThan(5_000);
});

test.each(['stands still', 'panics'] as const)('one that %s is told, and is not touched', async (start) => {
  const g = guest(start);
  const code = start === 'panics' ? 'host.guest_panicked' : 'host.guest_stands_still';
  expect([await notWell(g.deps, 'vm', false), g.resets()]).toMatchObject([{ code }, 0]);
});

test.each(['stands still', 'panics', 'panics later'] as const)('one that restarted and %s is reset once', async (start) => {
  const g = guest(start, 'boots');
  expect([await notWell(g.deps, 'vm', true), g.resets()]).toEqual([undefined, 1]);
  const worse = guest(start, start);
  expect([await notWell(worse.deps, 'vm', true), worse.resets()]).toMatchObject([{ code: expect.stringMatching(/^host.guest_/) }, 1]);
});
