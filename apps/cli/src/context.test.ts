import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { connectionOf } from './context.ts';

const names = ['CHRYSALIS_STATE_DIR', 'CHRYSALIS_SERVER', 'CHRYSALIS_TOKEN'] as const;
const before = { cwd: process.cwd(), env: names.map((name) => process.env[name]) };
let dir: string;
/** What a runner leaves in a folder. */
const says = (folder: string, server: string): void => {
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'current.json'), JSON.stringify({ server, token: `of ${server}` }));
};
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'chrysalis-context-'));
  for (const name of names) delete process.env[name];
  says(path.join(dir, '.chrysalis'), 'http://upwards');
  process.chdir(dir);
});
afterEach(() => {
  process.chdir(before.cwd);
  for (const [i, name] of names.entries()) if (before.env[i] !== undefined) process.env[name] = before.env[i];
  rmSync(dir, { recursive: true });
});

test('what runs is found upwards from where one stands, or only where CHRYSALIS_STATE_DIR says', () => {
  expect(connectionOf({})).toEqual({ server: 'http://upwards', token: 'of http://upwards' });
  says(path.join(dir, 'state'), 'http://told');
  process.env['CHRYSALIS_STATE_DIR'] = path.join(dir, 'state');
  expect(connectionOf({})).toEqual({ server: 'http://told', token: 'of http://told' });
  process.env['CHRYSALIS_STATE_DIR'] = path.join(dir, 'none');
  expect(() => connectionOf({})).toThrow('no control plane is known here');
  delete process.env['CHRYSALIS_STATE_DIR'];
});
