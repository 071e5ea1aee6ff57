import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Turns, type Turn } from './turns.ts';

const anyTurn = fc.constantFrom<Turn>('guest', 'hardware', 'whole');
const clash = (a: Turn, b: Turn): boolean => a === 'whole' || b === 'whole' || (a === 'hardware' && b === 'hardware');

test('none runs beside one it may not, all end, and those that exclude each other keep their order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ turn: anyTurn, ms: fc.nat({ max: 3 }), fails: fc.boolean() }), { maxLength: 20 }),
      async (tasks) => {
        const turns = new Turns();
        const running = new Map<number, Turn>();
        const started: number[] = [];
        const run = (i: number, { turn, ms, fails }: (typeof tasks)[number]) =>
          turns.run(turn, async () => {
            for (const other of running.values()) expect([turn, other, clash(turn, other)]).toEqual([turn, other, false]);
            running.set(i, turn);
            started.push(i);
            await sleep(ms);
            running.delete(i);
            if (fails) throw new Error('failed');
          });
        await Promise.allSettled(tasks.map((task, i) => run(i, task)));
        expect(started.length).toBe(tasks.length);
        for (const [place, i] of started.entries())
          for (const j of started.slice(place + 1)) if (clash(tasks[i]!.turn, tasks[j]!.turn)) expect(i).toBeLessThan(j);
      },
    ),
    { numRuns: 60 },
  );
});

test('a guest command runs beside a plug and another guest command', async () => {
  const turns = new Turns();
  let running = 0;
  let most = 0;
  const work = async (): Promise<void> => {
    most = Math.max(most, ++running);
    await sleep(5);
    running--;
  };
  await Promise.all([turns.run('hardware', work), turns.run('guest', work), turns.run('guest', work)]);
  expect(most).toBe(3);
});
