import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { until } from '@chrysalis/testing';
import { root } from '../run/platform.ts';

// A kind of virtual resource is one folder a layer and an entry in each registry, and nothing else: the toy kind `note` (beside this file,
// each file where it belongs) is added to a copy of the project, which then compiles, and keeps notes by its command line.

const toy = path.join(import.meta.dirname, 'note');

/** What docs/reference/kinds.md names: registry, what stands there, and what takes its place. */
const entries: readonly [file: string, was: RegExp, becomes: string][] = [
  ['libs/contracts/src/kinds/index.ts', /^/, `import { noteKind } from './note/kind.ts';\n`],
  ['libs/contracts/src/kinds/index.ts', /(export const kinds = \[.*)\] as const/, '$1, noteKind] as const'],
  ['libs/contracts/src/codes/index.ts', /^/, `import { noteCodes } from '../kinds/note/codes.ts';\n`],
  ['libs/contracts/src/codes/index.ts', / {2}Volumes: volumeCodes,/, '$&\n  Notes: noteCodes,'],
  ['libs/contracts/src/codes/index.ts', / {2}\.\.\.volumeCodes,/, '$&\n  ...noteCodes,'],
  ['libs/contracts/src/views/index.ts', /$/, `export * from '../kinds/note/view.ts';\n`],
  ['libs/contracts/src/index.ts', /$/, `export * from './kinds/note/index.ts';\n`],
  ['libs/provisioning/core/src/index.ts', /$/, `export * as notes from './note/index.ts';\n`],
  ['apps/provisioning/src/kinds.ts', /^/, `import { notePart } from './notes/index.ts';\n`],
  ['apps/provisioning/src/kinds.ts', /volume: volumePart/, '$&, note: notePart'],
  ['apps/projector/src/projections/index.ts', /^/, `import { notes } from './notes.ts';\n`],
  ['apps/projector/src/projections/index.ts', /volume: volumes/, '$&, note: notes'],
  ['apps/cli/src/program.ts', /^/, `import { noteCommands } from './commands/notes.ts';\n`],
  ['apps/cli/src/program.ts', /volume: volumeCommands/, '$&, note: noteCommands'],
];

let copy: string;
let up: ChildProcess | undefined;
let said = '';

/** Sources alone; of what is installed links, but for the project's own packages, which are those of the copy. */
const copied = async (): Promise<void> => {
  const { stdout } = await promisify(execFile)('git', ['ls-files', '-z', 'apps', 'libs', 'infra', 'tools', '*.json', '*.mjs'], {
    cwd: root,
    maxBuffer: 1 << 24,
  });
  for (const file of new Set(stdout.split('\0'))) {
    if (file === '' || !fs.existsSync(path.join(root, file))) continue;
    fs.mkdirSync(path.dirname(path.join(copy, file)), { recursive: true });
    fs.copyFileSync(path.join(root, file), path.join(copy, file));
  }
  const modules = path.join(copy, 'node_modules');
  fs.mkdirSync(path.join(modules, '@chrysalis'), { recursive: true });
  for (const name of fs.readdirSync(path.join(root, 'node_modules')))
    if (name !== '@chrysalis') fs.symlinkSync(path.join(root, 'node_modules', name), path.join(modules, name));
  const own = path.join(root, 'node_modules/@chrysalis');
  for (const name of fs.readdirSync(own))
    fs.symlinkSync(path.join(copy, path.relative(root, fs.realpathSync(path.join(own, name)))), path.join(modules, '@chrysalis', name));
};

const added = (): void => {
  fs.cpSync(toy, copy, { recursive: true });
  for (const [file, was, becomes] of entries) {
    const before = fs.readFileSync(path.join(copy, file), 'utf8');
    const after = before.replace(was, becomes);
    expect([file, after === before]).toEqual([file, false]);
    fs.writeFileSync(path.join(copy, file), after);
  }
  for (const app of ['provisioning', 'projector']) {
    const folder = path.join(copy, 'apps', app, 'src/migrations');
    const sum = createHash('sha256')
      .update(fs.readFileSync(path.join(folder, '1999-notes.sql')))
      .digest('hex');
    fs.appendFileSync(path.join(folder, 'SHA256SUMS'), `${sum}  1999-notes.sql\n`);
  }
};

const state = (): string => path.join(copy, '.chrysalis');
/** One of the copy's programs, to its end: its output. */
const ran = async (...args: readonly string[]): Promise<string> => {
  const env = { ...process.env, CHRYSALIS_STATE_DIR: state(), NODE_OPTIONS: '' };
  const { stdout } = await promisify(execFile)(process.execPath, [...args], { cwd: copy, env, maxBuffer: 1 << 24 });
  return stdout.trim();
};
const typescript = (file: string, ...args: readonly string[]): string[] => [
  '--import',
  path.join(copy, 'tools/node/register.mjs'),
  path.join(copy, file),
  ...args,
];
const chrysalis = (...args: readonly string[]): Promise<string> => ran(...typescript('apps/cli/src/main.ts', ...args));

beforeAll(async () => {
  copy = fs.realpathSync(fs.mkdtempSync(path.join(tmpdir(), 'chrysalis-kind-')));
  await copied();
});
afterAll(async () => {
  if (up?.exitCode === null) {
    const ended = new Promise((resolve) => up?.once('exit', resolve));
    up.kill('SIGINT');
    await ended;
  }
  fs.rmSync(copy, { recursive: true, force: true });
});

test('a toy kind: its folders and its entries are all that it takes, from the contracts to the command line', async () => {
  added();
  await ran(...typescript('tools/api-client/main.ts'));
  expect(await ran('node_modules/typescript-7/bin/tsc', '--noEmit', '-p', 'tsconfig.json').catch((e: { stdout: string }) => e.stdout)).toBe(
    '',
  );

  up = spawn(process.execPath, typescript('tools/up/main.ts', '--driver', 'simulated', '--bare'), {
    cwd: copy,
    env: { ...process.env, CHRYSALIS_STATE_DIR: state() },
  });
  for (const stream of [up.stdout!, up.stderr!]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await until(async () => {
    if (up!.exitCode !== null) throw new Error(said);
    return said.includes('Ready.');
  });
  const noteId = await chrysalis('note', 'create', 'plan', 'empty rack1 on Monday');
  await until(async () => (await chrysalis('note', 'list')).includes('empty rack1 on Monday'));
  expect(await chrysalis('note', 'delete', noteId)).toBe(`${noteId} is deleted`);
  await until(async () => (await chrysalis('note', 'list')) === 'No notes.');
  await expect(chrysalis('note', 'delete', noteId)).rejects.toMatchObject({ code: 3, stderr: expect.stringContaining('note.unknown') });
});
