import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createFabric, sweepFabrics } from './fabric.ts';

const exec = promisify(execFile);
const ours = (): string[] => readdirSync('/run/netns').filter((n) => n.startsWith('chy-fab'));
const links = (): string[] => readdirSync('/sys/class/net').filter((n) => n.startsWith('chyfab'));

describe('a fabric of network namespaces', () => {
  let stateDir: string;
  beforeEach(() => void (stateDir = mkdtempSync(path.join(tmpdir(), 'chrysalis-fabric-'))));
  afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

  test('hosts reach each other and the control address, and nothing is left after it', async () => {
    const fabric = await createFabric({ id: 'fab1', hosts: [{ name: 'a' }, { name: 'b' }], stateDir });
    const [a, b] = fabric.hosts;
    try {
      for (const to of [b!.address, fabric.controlAddress, fabric.client.address]) {
        const [command, ...args] = a!.inside(['bash', '-c', `exec 3<>/dev/tcp/${to}/9 || true`]);
        const { stderr } = await exec(command!, args);
        expect(stderr).toContain('Connection refused'); // someone is there and says no
      }
      const [command, ...args] = a!.inside(['sleep', '60']);
      const left = spawn(command!, args, { detached: true, stdio: 'ignore' });
      const ended = new Promise((resolve) => left.once('exit', resolve));
      await new Promise((r) => setTimeout(r, 100));
      await fabric.teardown();
      await ended;
    } finally {
      await fabric.teardown();
    }
    expect([ours(), links(), readdirSync(stateDir)]).toEqual([[], [], []]);
  });

  test('a later run removes what a killed one left, and leaves the living alone', async () => {
    const fabric = await createFabric({ id: 'fab2', hosts: [{ name: 'a' }], stateDir });
    const file = path.join(stateDir, 'fab2.json');
    expect(await sweepFabrics(stateDir)).toEqual([]);
    expect(existsSync(file)).toBe(true);
    const record = { id: 'fab2', owner: { pid: 2 ** 22 - 1, startedAt: '1' }, namespaces: ours(), link: 'chyfab2' };
    writeFileSync(file, JSON.stringify(record));
    expect(await sweepFabrics(stateDir)).toEqual(['fab2']);
    expect([ours(), links(), readdirSync(stateDir)]).toEqual([[], [], []]);
    await fabric.teardown();
  });
});
