import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { sweepFabrics } from './fabric.ts';
import { assertUserNamespaces, endUserNamespace } from './user-namespace.ts';

const root = path.resolve(import.meta.dirname, '../..');
type Ended = { code: number | null; said: { userNamespace: string; uid: number; may: boolean; vm: number; control: string } };
const run = (stateDir: string, id: string): Promise<Ended> =>
  new Promise((resolve, reject) => {
    const script = path.join(import.meta.dirname, 'testing/in-user-namespace.ts');
    const argv = ['--disable-warning=ExperimentalWarning', '--import', path.join(root, 'tools/node/register.mjs'), script, stateDir, id];
    // Also where the tests themselves are in one.
    const env = { ...process.env, CHRYSALIS_USER_NAMESPACE: '' };
    const child = execFile(process.execPath, argv, { env }, (_, stdout, stderr) => {
      if (!stdout) return reject(new Error(stderr));
      resolve({ code: child.exitCode, said: JSON.parse(stdout) as Ended['said'] });
    });
  });
const networkOf = (pid: number): string => readlinkSync(`/proc/${pid}/ns/net`);
const gone = async (pid: number): Promise<boolean> => {
  for (let i = 0; i < 100; i++) {
    // An orphan that nobody has waited for yet is not running any more.
    if (!existsSync(`/proc/${pid}`) || / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))) return true;
    await new Promise((r) => setTimeout(r, 20));
  }
  return false;
};

describe('hosts in a user namespace', () => {
  let stateDir: string;
  beforeEach(() => void (stateDir = mkdtempSync(path.join(tmpdir(), 'chrysalis-user-namespace-'))));
  afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

  test('have networks that nobody else sees, under the same account; what a killed run left there ends with the next sweep', async () => {
    assertUserNamespaces();
    const { code, said } = await run(stateDir, 'usr1');
    expect(code).not.toBe(0); // it was killed
    expect(said).toMatchObject({ uid: process.getuid!(), may: true });
    expect(said.userNamespace).not.toBe(readlinkSync('/proc/self/ns/user'));

    expect(networkOf(said.vm)).not.toBe(networkOf(process.pid));
    expect(existsSync('/run/netns/chy-usr1-a')).toBe(false);
    expect(readdirSync('/sys/class/net').filter((n) => n.startsWith('chyusr1'))).toEqual([]);

    expect(endUserNamespace(said.userNamespace, String(Number.MAX_SAFE_INTEGER))).toBe(0); // who is older than the record is another's
    expect(await sweepFabrics(stateDir)).toEqual(['usr1']);
    expect(await gone(said.vm)).toBe(true);
    expect(readdirSync(stateDir)).toEqual([]);
  });
});
