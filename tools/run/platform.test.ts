import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import type { Platform } from './platform.ts';

const dir = mkdtempSync(path.join(tmpdir(), 'chrysalis-state-'));
afterAll(() => {
  delete process.env['CHRYSALIS_STATE_DIR'];
  rmSync(dir, { recursive: true });
});

test('what says how to reach a run, its token with it, is for its user alone and goes with the run; a later run’s stays', async () => {
  process.env['CHRYSALIS_STATE_DIR'] = dir;
  const { removeCurrent, writeCurrent } = await import('./platform.ts');
  const file = path.join(dir, 'current.json');
  removeCurrent(); // there is none: nothing to do
  writeCurrent({ adminUrl: 'http://127.0.0.1:1', token: 'secret' } as Platform);
  expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ server: 'http://127.0.0.1:1', token: 'secret', pid: process.pid });
  expect(statSync(file).mode & 0o777).toBe(0o600);
  removeCurrent();
  expect(existsSync(file)).toBe(false);
  writeFileSync(file, JSON.stringify({ pid: process.pid + 1 }));
  removeCurrent();
  expect(existsSync(file)).toBe(true);
});
