import { spawn, type ChildProcess } from 'node:child_process';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { until } from '@chrysalis/testing';
import { root } from './platform.ts';

/** A process that has gone, also as one that nobody has waited for yet. */
const gone = (pid: number): boolean => {
  try {
    return / Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return true;
  }
};
/** The shell that waits for a tool's end, by the leash on its command line. */
const watcherOf = (tool: number): string | undefined =>
  readdirSync('/proc').find((pid) => {
    try {
      return /^\d+$/.test(pid) && new RegExp(`\\x00${tool}\\.\\d+\\x00$`).test(readFileSync(`/proc/${pid}/cmdline`, 'latin1'));
    } catch {
      return false;
    }
  });

describe('a tool that starts VMs', () => {
  let dir: string;
  let qemu: string;
  const running: ChildProcess[] = [];
  beforeAll(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'chrysalis-tool-'));
    qemu = path.join(dir, 'qemu-system-fake'); // what is on a leash is told by its name
    copyFileSync('/bin/sleep', qemu);
  });
  afterAll(() => {
    for (const child of running) child.kill('SIGKILL');
    rmSync(dir, { recursive: true, force: true });
  });

  /** The tool, and a QEMU that it started as a host agent does: by a process between, in a session of its own. */
  const start = async (): Promise<{ tool: ChildProcess; vm: number; code: Promise<number | null> }> => {
    const argv = ['--import', path.join(root, 'tools/node/register.mjs'), path.join(root, 'tools/run/testing/a-tool.ts'), qemu];
    const tool = spawn(process.execPath, argv, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
    running.push(tool);
    const code = new Promise<number | null>((resolve) => tool.once('exit', resolve));
    let said = '';
    tool.stdout!.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await until(async () => said.includes('\n'));
    return { tool, vm: Number(said), code };
  };

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGKILL'] as const)('leaves nothing after %s', async (signal) => {
    const { tool, vm, code } = await start();
    expect(gone(vm)).toBe(false);
    tool.kill(signal);
    expect(await code).toBe(signal === 'SIGKILL' ? null : 130);
    await until(async () => gone(vm));
  });

  test('killed together with what waits for its end: the next one ends what is left', async () => {
    const { tool, vm, code } = await start();
    process.kill(Number(await until(async () => watcherOf(tool.pid!))), 'SIGKILL');
    tool.kill('SIGKILL');
    await code;
    expect(gone(vm)).toBe(false);
    const next = await start();
    await until(async () => gone(vm)); // it has its signal; on a busy machine it ends a moment later
    expect(gone(next.vm)).toBe(false); // whose tool is there
    next.tool.kill('SIGTERM');
    await next.code;
  });

  test('is run so, each of them', () => {
    const entries = [...readFileSync(path.join(root, 'tools/bootstrap/main.mjs'), 'utf8').matchAll(/entry: '(.*?)'/g)].map((m) => m[1]!);
    const without = entries.filter((entry) => !readFileSync(path.join(root, entry), 'utf8').includes('await asTool('));
    // The CLI starts nothing; the harness runs workflows in its own process.
    expect(without.sort()).toEqual(['apps/cli/src/main.ts', 'tools/harness/main.ts']);
  });
});
