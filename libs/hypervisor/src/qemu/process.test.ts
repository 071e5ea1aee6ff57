import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { identify, isAlive, kill, lastWords, spawnDetached, waitGone } from './process.ts';
import { sweepStateDir, sweepTemporary, VmFiles, writeRecord } from './state.ts';
import { bootSpec } from '../test/driver-contract/rig.ts';
import { initialTopology } from '../shape.ts';

const dir = mkdtempSync(join(tmpdir(), 'chy-process-'));
afterAll(() => rmSync(dir, { recursive: true }));

describe('processes of QEMU', () => {
  test('a process is its pid and its start time: a used pid is nobody', async () => {
    const id = await spawnDetached(['sleep', '30'], join(dir, 'words'));
    expect(isAlive(id)).toBe(true);
    const impostor = { pid: id.pid, startTime: id.startTime - 1 };
    expect(isAlive(impostor)).toBe(false);
    expect(await kill(impostor)).toBe(true);
    expect(isAlive(id)).toBe(true);
    expect(await waitGone(id, 20)).toBe(false);
    expect(await kill(id)).toBe(true);
    expect(isAlive(id)).toBe(false);
  });

  test('a zombie is not alive', async () => {
    const child = spawn('sh', ['-c', 'exit 0']);
    const id = identify(child.pid!);
    await new Promise((resolve) => child.once('close', resolve));
    expect(id === undefined || !isAlive(id)).toBe(true);
  });

  test('the last words are bounded', async () => {
    const path = join(dir, 'long');
    writeFileSync(path, `${'x'.repeat(10_000)}\nthe end\n`);
    const words = await lastWords(path);
    expect(words.endsWith('the end')).toBe(true);
    expect(words.length).toBeLessThanOrEqual(4096);
    expect(await lastWords(join(dir, 'none'))).toBe('');
  });

  test('a sweep ends recorded processes and removes their files, and nothing else', async () => {
    const id = await spawnDetached(['sleep', '30'], join(dir, 'words'));
    const other = await spawnDetached(['sleep', '30'], join(dir, 'words'));
    const record = (vmId: string, process: { pid: number; startTime: number }): Promise<void> => {
      const files = new VmFiles(dir, vmId);
      files.make();
      return writeRecord(files, { v: 1, vmId, role: 'runner', topology: initialTopology(bootSpec(vmId)), topologyHash: '', process });
    };
    await record('vm:one', id);
    await record('vm-two', { pid: other.pid, startTime: other.startTime + 1 });
    expect(await sweepStateDir(dir)).toEqual({ killed: 1 });
    expect([isAlive(id), isAlive(other)]).toEqual([false, true]);
    expect(await sweepStateDir(dir)).toEqual({ killed: 0 });
    await kill(other);
  });

  test('sockets outside of a state directory go when it is gone, and not before', () => {
    const state = join(dir, 'deep'.repeat(20));
    const files = new VmFiles(state, 'vm-0192f7a0-0000-7000-8000-00000000c0de');
    files.make();
    const sockets = dirname(files.socket('qmp'));
    expect(sockets.startsWith(tmpdir())).toBe(true);
    sweepTemporary();
    expect(existsSync(sockets)).toBe(true);
    rmSync(state, { recursive: true });
    sweepTemporary();
    expect(existsSync(sockets)).toBe(false);
  });

  test('sockets of a deep state directory still have names that fit', () => {
    const deep = new VmFiles(`/${'deep/'.repeat(40)}`, 'vm-0192f7a0-0000-7000-8000-00000000c0de');
    expect(deep.socket(`port-${'x'.repeat(60)}`).length).toBeLessThanOrEqual(107);
    expect(new VmFiles('/var/lib/chrysalis', 'vm-1').socket('qmp')).toBe('/var/lib/chrysalis/vms/vm-1/qmp.sock');
  });
});
