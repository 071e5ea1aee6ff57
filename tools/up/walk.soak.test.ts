import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { entry, run, type Ran } from '@chrysalis/cli-app/testing';
import { until } from '@chrysalis/testing';
import { root } from '../run/platform.ts';

/** On simulated hosts, which are started in no time; services, host agents and command line are the real ones. */
describe('npm run up, for one who has never seen it', () => {
  let dir: string;
  let up: ChildProcess | undefined;
  let said = '';
  beforeAll(() => void (dir = mkdtempSync(path.join(tmpdir(), 'chrysalis-walk-'))));
  afterEach(async () => {
    const code = new Promise((resolve) => up?.once('exit', resolve));
    up?.kill('SIGINT');
    expect(await code).toBe(0);
    expect(readdirSync(path.join(dir, '.chrysalis'))).not.toContain('current.json'); // there is a token in it
    expect(readdirSync(path.join(dir, '.chrysalis/runs'))).toEqual([]);
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  const start = async (...args: string[]): Promise<void> => {
    said = '';
    const argv = [...entry.slice(0, 3), path.join(root, 'tools/up/main.ts'), '--driver', 'simulated', ...args];
    up = spawn(process.execPath, argv, { cwd: dir, env: { ...process.env, CHRYSALIS_STATE_DIR: path.join(dir, '.chrysalis') } });
    for (const stream of [up.stdout!, up.stderr!]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await until(async () => said.includes('Ready.'));
  };
  /** As a shell takes its words. */
  const words = (line: string): string[] => [...line.matchAll(/"([^"]*)"|(\S+)/g)].map((m) => m[1] ?? m[2]!);
  const chrysalis = (line: string): Promise<Ran> => {
    const { CHRYSALIS_SERVER: _s, CHRYSALIS_TOKEN: _t, ...env } = process.env;
    return run(words(line), { cwd: dir, env: { ...env, NODE_OPTIONS: '' } });
  };
  const must = async (line: string): Promise<Ran> => {
    const ran = await chrysalis(line);
    expect({ line, code: ran.code, said: ran.code === 0 ? '' : ran.stderr }).toEqual({ line, code: 0, said: '' });
    return ran;
  };

  test('the first walk of --help goes, line by line', async () => {
    await start();
    expect(said).toContain('SIMULATED');
    const guide = (await must('--help')).stdout;
    const walk = [...guide.matchAll(/^ {2}\$ chrysalis (.*?) +# /gm)].map((m) => m[1]!);
    expect(walk.length).toBeGreaterThan(5);
    for (const line of walk) await must(line);
    expect((await must('vm list')).stdout).toMatch(/web\s+running\s.*large@1/);
    expect((await must('migration list')).stdout).toMatch(/succeeded/);
    await must('volume create data --size 64 -w');
    await must('volume attach data --vm web -w');
    await must('volume grow data --size 128 -w');
    expect((await must('volume list')).stdout).toMatch(/data\s+attached\s+128\s+shared/);
    expect(await chrysalis('volume delete data')).toMatchObject({ stderr: expect.stringContaining('chrysalis volume detach volume-') });
    await must('volume detach data -w');
    await must('volume delete data -w');
    expect((await must('volume list')).stdout).toContain('No volumes.');
  });

  test('--bare has none of it; each message says what to type until a VM runs', async () => {
    await start('--bare');
    expect((await must('type list')).stdout).toContain('chrysalis type publish NAME --example');
    expect(await chrysalis('vm create web --type mine --image linux -w')).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('mine'),
    });
    writeFileSync(path.join(dir, 'mine.yaml'), (await must('type publish mine --example')).stdout);
    expect(await chrysalis('type publish mine')).toMatchObject({ code: 2, stderr: expect.stringContaining('--example') });
    await must('type publish mine --file mine.yaml');
    expect((await must('image list')).stdout).toContain('chrysalis image register');
    const runs = path.join(dir, '.chrysalis/runs');
    const manifest = path.join(runs, readdirSync(runs)[0]!, 'images/linux/manifest.json');
    const { digest } = JSON.parse(readFileSync(manifest, 'utf8')) as { digest: string };
    expect((await must(`image register linux --digest ${digest}`)).stdout).toContain('linux@1');
    expect((await must(`image register linux --digest ${digest}`)).stdout).toContain('linux@1'); // the same is the same
    expect((await must(`image register linux --digest ${digest} --cmdline "console=ttyS0 quiet"`)).stdout).toContain('linux@2');
    await must('vm create web --type mine --image linux@1 -w');
  });
});
