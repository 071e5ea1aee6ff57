import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import LongestFirst from './longest-first.ts';

const dir = mkdtempSync(path.join(tmpdir(), 'chrysalis-order-'));
afterAll(() => rmSync(dir, { recursive: true }));

test('where nothing has run yet, what starts machines or processes goes first; the rest by size', () => {
  const hasteFS = { getSize: (file: string) => statSync(file).size };
  const context = { config: { cache: false, id: 'x' }, hasteFS };
  const files = {
    pure: 'x'.repeat(900),
    small: 'x',
    guest: "onQemu('a guest', () => {})",
    killed: `${'x'.repeat(90)} new ServiceProcesses()`,
  };
  const tests = Object.entries(files).map(([name, text]) => {
    writeFileSync(path.join(dir, name), text);
    return { path: path.join(dir, name), context };
  });
  const sorted = new LongestFirst({} as never).sort(tests as never);
  expect(sorted.map((t) => path.basename(t.path))).toEqual(['killed', 'guest', 'pure', 'small']);
});
