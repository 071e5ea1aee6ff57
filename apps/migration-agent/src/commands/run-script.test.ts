import { readFile, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { runScript, type ScriptRequest } from './run-script.ts';
import { Guest } from '../guest/guest.ts';

// Without control groups: the tree is found by its process group and the mark in its environment. The control groups are tried in the guest.
class NoCgroups extends Guest {
  override async read(p: string): Promise<string | undefined> {
    return p.startsWith('sys/fs/cgroup') ? undefined : super.read(p);
  }
}
const guest = new NoCgroups();
const never = new AbortController().signal;
const run = (script: string, over: Partial<ScriptRequest> = {}, signal = never): ReturnType<typeof runScript> =>
  runScript(guest, { script, timeoutMs: 5_000, maxOutputBytes: 4_096, runAs: 'root', ...over }, { signal });

let before: string[];
const left = async (): Promise<string[]> => (await readdir(tmpdir())).filter((f) => f.startsWith('chrysalis-script-'));
beforeEach(async () => {
  before = await left();
});
afterEach(async () => {
  expect(await left()).toEqual(before);
});
const runs = async (mark: string): Promise<number> => {
  const pids = (await readdir('/proc')).filter((p) => /^\d+$/.test(p));
  const lines = await Promise.all(pids.map((p) => readFile(`/proc/${p}/cmdline`, 'utf8').catch(() => '')));
  return lines.filter((l) => l.includes(mark)).length;
};

test('exit code, both streams, and a clean environment', async () => {
  process.env['SECRET_OF_THE_AGENT'] = 'x';
  const r = await run('echo out; echo err >&2; env | grep -c SECRET; exit 3');
  delete process.env['SECRET_OF_THE_AGENT'];
  expect(r).toMatchObject({ exitCode: 3, stdout: 'out\n0\n', stderr: 'err\n', truncated: false });
});

test('a flood is cut off and the script still ends as it would', async () => {
  const r = await run('head -c 3000000 /dev/zero | tr "\\\\0" x; exit 4', { maxOutputBytes: 1_000 });
  expect(r).toMatchObject({ exitCode: 4, truncated: true });
  expect(r.stdout).toBe('x'.repeat(1_000));
});

test('at its time limit it is killed with all its children, also those that left its session', async () => {
  const mark = `${400_000 + process.pid}`;
  const started = performance.now();
  await expect(run(`setsid sleep ${mark} & sleep ${mark} & sleep ${mark}`, { timeoutMs: 300 })).rejects.toMatchObject({
    code: 'guest.script_timeout',
  });
  expect(performance.now() - started).toBeLessThan(30_000); // they would sleep for days
  expect(await runs(mark)).toBe(0);
});

test('what a script leaves in the background ends with it', async () => {
  const mark = `${500_000 + process.pid}`;
  expect(await run(`setsid sleep ${mark} & echo done`)).toMatchObject({ exitCode: 0, stdout: 'done\n' });
  expect(await runs(mark)).toBe(0);
});

test('cancelled', async () => {
  const abort = new AbortController();
  setTimeout(() => abort.abort(), 100);
  await expect(run('sleep 30', {}, abort.signal)).rejects.toMatchObject({ code: 'guest.cancelled' });
});

test('not as root where that is said', async () => {
  const r = await run('id -u; cat /etc/shadow', { runAs: 'nobody' });
  expect(r.stdout).toBe('65534\n');
  expect(r.exitCode).not.toBe(0);
});

test('CPU time, file size and open files are limited', async () => {
  const r = await run('ulimit -t; ulimit -n; ulimit -c', { timeoutMs: 1_500 });
  expect(r.stdout).toBe('3\n256\n0\n');
});
