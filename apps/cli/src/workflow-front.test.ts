import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { paramOf } from './commands/workflow-start.ts';
import { Front } from './test/front.ts';
import type { Ran } from './test/run.ts';

let front: Front;
let gate = Promise.withResolvers<void>();
beforeAll(async () => {
  front = await Front.open(async (input) => {
    if (input['hold'] === true) await gate.promise;
    return { ok: true, output: {} };
  });
});
afterAll(async () => {
  gate.resolve();
  await front?.close();
});

const chrysalis = (...args: string[]): Promise<Ran> => front.chrysalis(...args);
const workflow = (...args: string[]): Promise<Ran> => chrysalis('workflow', ...args);
const file = (name: string, text: string): string => front.file(name, text);

const yaml = `
name: check
summary: Look at a host
params:
  hold: { type: boolean, required: false }
  hosts: { type: array, required: false }
deadlineMs: 60000
tasks:
  - name: look
    kind: alpha.do
    summary: look
    input: { hold: '\${params.hold}' }
    deadlineMs: 30000
    route: { mode: group, group: provisioning }
`;

describe('workflow templates, starts and the queue, from the command line through the door', () => {
  it('publishes, lists, gets, tries and retires', async () => {
    const good = file('check.yaml', yaml);
    expect(await workflow('template', 'validate', good)).toMatchObject({ code: 0, stdout: 'check is valid: 1 tasks\n', stderr: '' });
    expect(await workflow('template', 'publish', good)).toMatchObject({ code: 0, stdout: 'published check@1\n', stderr: '' });
    expect(await workflow('template', 'validate', file('odd.yaml', yaml.replace('alpha.do', 'alpha.dance')))).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/^warning tasks\[0\]\.kind: nobody in the group provisioning takes alpha\.dance; it takes .*alpha\.do/),
    });
    const got = await workflow('template', 'get', 'check@1');
    expect(got.stdout).toMatch(/ref: check@1\n[^]*kind: alpha\.do/);
    // What `get` prints is published again as what it is.
    expect(await workflow('template', 'publish', file('got.yaml', got.stdout))).toMatchObject({ code: 0, stdout: 'published check@1\n' });
    expect((await workflow('template', 'list')).stdout).toMatch(/check@1\s+1\s+(hold,hosts|hosts,hold)\s+active\s+\d+s\s+Look at a host/);
    expect(JSON.parse((await workflow('template', 'schema')).stdout)).toMatchObject({ title: 'A workflow template of Chrysalis' });
    const bad = await workflow('template', 'publish', file('bad.yaml', `${yaml}    after: [ghost]\n    dependsOn: [x]\n`));
    expect([bad.code, bad.stdout]).toEqual([2, '']);
    expect(bad.stderr).toMatch(
      /workflow\.template_invalid[^]*tasks\[0\]\.dependsOn: there is no such member\n[^]*tasks\[0\]\.after\[0\]: there is no task ghost/,
    );
    await workflow('template', 'publish', file('old.yaml', yaml.replace('name: check', 'name: old')));
    expect(await workflow('template', 'retire', 'old')).toMatchObject({ code: 0, stdout: 'retired old\n' });
    expect(await workflow('start', 'old')).toMatchObject({ code: 4, stderr: expect.stringContaining('workflow.template_retired') });
    expect(await workflow('template', 'get', 'ghost')).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('next: chrysalis workflow template list'),
    });
  });

  it('starts and waits; wrong params are told by name', async () => {
    const started = await workflow('start', 'check', '--param', 'hosts=["h1"]', '--wait', '-o', 'json');
    expect(started.code).toBe(0);
    expect(JSON.parse(started.stdout)).toMatchObject({ state: 'succeeded', name: 'check', queued: false });
    const wrong = await workflow('start', 'check@1', '--param', 'hosts=h1', '--params', file('p.yaml', 'other: 1'));
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringMatching(/params\.hosts: hosts is string, not array\n[^]*params\.other/)]);
  });

  it('shows the queue, queued -> running -> succeeded, and limits', async () => {
    expect(
      (await workflow('limits', 'set', '--kind', 'check=1', '--tenant', 'acme=7', '--weight', 'acme=2', '--queued', '1')).stdout,
    ).toMatch(/each tenant: +1 may wait\ntenant acme: +7 at a time, weight 2\nkind check: +1 at a time/);
    const first = JSON.parse((await workflow('start', 'check', '--param', 'hold=true', '-o', 'json')).stdout) as { operation: string };
    const second = JSON.parse((await workflow('start', 'check', '--priority', '8', '--subject', 'h1', '-o', 'json')).stdout) as {
      operation: string;
      queued: boolean;
    };
    expect(second.queued).toBe(true);
    expect((await workflow('queue')).stdout).toMatch(
      new RegExp(`1\\s+${second.operation}\\s+check@1\\s+8\\s+acme\\s+h1\\s+\\d+s\\s+waiting`),
    );
    expect((await workflow('limits')).stdout).toMatch(/acme\s+check\s+1/);
    expect((await chrysalis('operation', 'get', second.operation)).stdout).toMatch(/state: +queued\nprogress: +0 of 1 tasks/);
    expect((await chrysalis('operation', 'list', '--state', 'queued')).stdout).toContain(second.operation);
    expect((await workflow('get', second.operation)).stdout).toMatch(/state: +queued/);
    const waiting = chrysalis('operation', 'wait', second.operation, '-o', 'json');
    gate.resolve();
    expect(JSON.parse((await waiting).stdout)).toMatchObject({
      state: 'succeeded',
      queuedAt: expect.any(String),
      startedAt: expect.any(String),
    });
    expect((await chrysalis('operation', 'wait', first.operation)).code).toBe(0);
    gate = Promise.withResolvers();
  });

  it('cancels what waits, by the operation', async () => {
    await workflow('start', 'check', '--param', 'hold=true');
    const { operation } = JSON.parse((await workflow('start', 'check', '-o', 'json')).stdout) as { operation: string };
    const cancelled = await chrysalis('operation', 'cancel', operation, '--wait', '-o', 'json');
    expect(JSON.parse(cancelled.stdout)).toMatchObject({ state: 'undone', cause: { code: 'workflow.cancelled' } });
    expect((await workflow('queue')).stdout).toBe('Nothing waits.\n');
    gate.resolve();
    expect((await workflow('limits', 'set', '--clear')).stdout).toBe('overall:     no limit\neach tenant: no limit\n');
  });

  it('passes 429 with its time through the door', async () => {
    gate = Promise.withResolvers();
    await workflow('limits', 'set', '--per-tenant', '0', '--queued', '0');
    const headers = { authorization: `Bearer ${front.token}`, 'content-type': 'application/json' };
    const answer = await fetch(`${front.door.url}/v1/workflows`, { method: 'POST', headers, body: JSON.stringify({ template: 'check' }) });
    expect([answer.status, Number(answer.headers.get('retry-after'))]).toEqual([429, expect.any(Number)]);
    expect(await answer.json()).toMatchObject({ code: 'workflow.queue_full' });
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    await workflow('limits', 'set', '--clear');
  });

  it('shows who can run what', async () => {
    const { stdout } = await workflow('executors', '--kind', 'alpha.do', '-o', 'json');
    expect(JSON.parse(stdout)).toMatchObject([
      { executor: 'group:provisioning', group: 'provisioning', kinds: ['alpha.do', 'alpha.undo'], health: 'up', rank: 0, losses: 0 },
    ]);
    expect((await workflow('executors')).stdout).toMatch(
      /executor.*health.*rank[^]*group:provisioning +up +0[^]*group:resource-allocation/i,
    );
    expect((await workflow('executors', '--health', 'sideways')).code).not.toBe(0);
  });

  it('teaches', async () => {
    expect((await workflow('template', '--help')).stdout).toMatch(/name: check-host[^]*JSON Schema/);
    expect((await workflow('start', '--help')).stdout).toMatch(/Examples:\n[^]*--param host=h1 --wait/);
    expect((await workflow('limits', 'set', '--help')).stdout).toMatch(/--kind drain-host=2/);
  });
});

it('reads params as JSON where they are, else as text', () => {
  expect(['a=1', 'b=true', 'c=["x"]', 'd=vm-1', 'e:=1', 'f=', 'g=x=y'].map(paramOf)).toEqual([
    ['a', 1],
    ['b', true],
    ['c', ['x']],
    ['d', 'vm-1'],
    ['e', '1'],
    ['f', ''],
    ['g', 'x=y'],
  ]);
  expect(() => paramOf('nothing')).toThrow('name=value');
});
