import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { writeDurably } from './files.ts';
import { newVmState, type VmState } from './vm-state.ts';
import { VmStates } from './vm-states.ts';

let dir: string;
beforeEach(() => void (dir = mkdtempSync(join(tmpdir(), 'chy-states-'))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const opening =
  (key: string) =>
  (s: VmState | undefined): VmState => ({ ...(s ?? newVmState('vm-1', 't', 1)), open: [...(s?.open ?? []), key] });
const keysIn = async (): Promise<readonly string[] | undefined> => (await VmStates.open(dir)).get('vm-1')?.open;

test('updates of one moment are done in their order, and each is on disk when it is answered', async () => {
  const states = await VmStates.open(dir);
  const keys = Array.from({ length: 40 }, (_, i) => `w/t${i}/run/1`);
  const answers = await Promise.all(
    keys.map(async (key, i) => {
      const state = await states.update('vm-1', opening(key));
      if (i % 10 === 0) expect(await keysIn()).toContain(key);
      return state!.open;
    }),
  );
  for (const [i, open] of answers.entries()) expect(open).toEqual(keys.slice(0, i + 1));
  expect(await keysIn()).toEqual(keys);
});

test('one that is refused changes nothing and holds back nobody', async () => {
  const states = await VmStates.open(dir);
  const refused = (): never => {
    throw new Error('stale');
  };
  const [a, b, c, d] = await Promise.allSettled([
    states.update('vm-1', opening('a')),
    states.update('vm-1', refused),
    states.update('vm-1', () => undefined),
    states.update('vm-1', opening('d')),
  ]);
  expect([a.status, b.status, c.status, d.status]).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
  expect((c as PromiseFulfilledResult<VmState>).value.open).toEqual(['a']);
  expect(await keysIn()).toEqual(['a', 'd']);
});

test('what is noted goes with the next update, before it; alone it is not written', async () => {
  const states = await VmStates.open(dir);
  await states.update('vm-1', opening('a'));
  states.note('vm-1', (s) => ({ ...s!, open: [] }));
  expect(await keysIn()).toEqual(['a']);
  await states.update('vm-1', opening('b'));
  expect(await keysIn()).toEqual(['b']);
});

test('a disk that refuses is told to who asked; what was noted is not lost', async () => {
  const states = await VmStates.open(dir);
  await states.update('vm-1', opening('a'));
  states.note('vm-1', (s) => ({ ...s!, open: [] }));
  rmSync(dir, { recursive: true });
  await expect(states.update('vm-1', opening('b'))).rejects.toMatchObject({ code: 'ENOENT' });
  expect(states.get('vm-1')!.open).toEqual(['a']);
  mkdirSync(dir);
  expect((await states.update('vm-1', opening('c')))!.open).toEqual(['c']);
});

test('a write that failed and is there all the same: what is there goes, and is written again before anyone is answered', async () => {
  const outcomes: ('done' | 'half' | 'failed')[] = ['done', 'half', 'failed', 'done'];
  const states = await VmStates.open(dir, async (path, text) => {
    const outcome = outcomes.shift() ?? 'done';
    if (outcome === 'failed') throw new Error('no space');
    await writeDurably(path, text);
    if (outcome === 'half') throw new Error('not synced');
  });
  await states.update('vm-1', opening('a'));
  await expect(states.update('vm-1', opening('b'))).rejects.toThrow('not synced');
  expect(states.get('vm-1')!.open).toEqual(['a', 'b']);
  await expect(states.update('vm-1', () => undefined)).rejects.toThrow('no space'); // changes nothing, and yet is not known to be kept
  expect((await states.update('vm-1', () => undefined))!.open).toEqual(['a', 'b']);
  expect(outcomes).toEqual([]);
});
