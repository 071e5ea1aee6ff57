import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { migrationTemplatesEvents, workflowEvents, type DataOf, type resourceAllocationEvents } from '@chrysalis/contracts';
import { cutConnections, until } from '@chrysalis/testing';
import { v7 as uuidv7 } from 'uuid';
import { dataOf, example, projected, startPlane, type Plane } from '../../admin-api/src/test/plane.ts';
import { createClient } from '@chrysalis/api-client';
import { inProcess } from './test/in-process.ts';
import { entry, environmentOf, run, type Ran } from './test/run.ts';

let plane: Plane;
let token: string;
const environment = (): NodeJS.ProcessEnv => environmentOf(plane.url, token);
const chrysalis = (args: string, options: { env?: NodeJS.ProcessEnv; cwd?: string } = {}): Promise<Ran> =>
  run(args.split(' ').filter(Boolean), { env: environment(), ...options });
const data = (type: string): Record<string, unknown> => example(`chrysalis.${type}.v1`).data;
const { workflowId } = dataOf(workflowEvents.instanceStarted);
const begin = (id: string) =>
  plane.append('workflow', `workflow-${id}`, 'chrysalis.workflow.instance.started.v1', {
    ...data('workflow.instance.started'),
    workflowId: id,
    subject: id,
  });
const end = (id: string, state = 'undone') =>
  plane.append('workflow', `workflow-${id}`, 'chrysalis.workflow.instance.ended.v1', {
    ...data('workflow.instance.ended'),
    workflowId: id,
    state,
  });

beforeAll(async () => {
  process.env['CHRYSALIS_LOG'] = 'silent';
  plane = await startPlane();
  token = await plane.token(['admin', 'fleet']);
  await projected(plane);
});
afterEach(() => void jest.restoreAllMocks());
afterAll(() => plane?.stop());

/** Not what says how long ago it was asked. */
const bare = (value: unknown): unknown => JSON.parse(JSON.stringify(value, (k, v: unknown) => (k === 'now' ? undefined : v)));

describe('what is shown', () => {
  const shown: [string, RegExp][] = [
    ['vm list --state all', /web\s+deleted\s+-\s+large@1/],
    ['vm get vm-0199c0de-0000-7000-8000-000000000001', /vcpus:\s+1\n[^]*cpu-hotplug\s+present/],
    ['host list', /h1\s+cordoned\s+away\s+qemu\/tcg\s+lab\/one\/r1/],
    ['host get h1', /vcpu\s+4\s+0\s+4\s+0\s+4/],
    ['allocation list', /h2\s+vm:vm-\S+\s+2\s+1024\s+512\s+held/],
    ['type list', /small@1\s+1 \(max 4\)\s+512 \(max 4096\)/],
    ['type get small@1', /memoryMiB:\n/],
    ['image list', /linux@1\s+kernel\s+-\s+-\s+sha256:ab/],
    ['image list --all', /linux@1\s+kernel\s+-\s+-\s+sha256:ab/],
    ['volume list --state all', /data\s+deleted\s+2048\s+shared\s+h1/],
    ['volume get volume-0199c0de-0000-7000-8000-0000000000d1', /state:\s+deleted\nsize:\s+2048 MiB/],
    ['grant list', /revoked\s+1\s+1 of 10/],
    ['template list', /to-large@1\s+small@1\s+large@1\s+pre-copy\s+1\/1\/1\/3\/3\s+retired/],
    ['plan get plan-0199c0de-0000-7000-8000-000000000006', /small@1 on h1 {2}-> {2}large@1 on h2\n {2}prepare\n {5}1\. place/],
    ['migration list', /to-large@1\s+succeeded/],
    ['migration get mig-0199c0de-0000-7000-8000-000000000004', /downtime 38\.2 ms/],
    [
      'migration logs mig-0199c0de-0000-7000-8000-000000000004',
      /migration of 1 VM by to-large@1, 1 at a time\n[^]*the move ended succeeded/,
    ],
    ['migration logs mig-0199c0de-0000-7000-8000-000000000004 -f --vm web', /the move of vm-\S+ begins\n[^]*the migration ended succeeded/],
    ['migration get mig-0199c0de-0000-7000-8000-000000000004 --watch', /state:\s+succeeded/],
    ['workflow list', /provision-vm\s+undone\s+2\/15/],
    [`workflow get ${workflowId}`, /0 o place[^]*1 x boot[^]*<- place\n[^]*2 - record/],
    [`workflow history ${workflowId}`, /workflow\.compensation\.started/],
    ['operation list --state undone', /provision-vm\s+undone\s+2\/15 tasks/],
    [`operation get ${workflowId}`, /cause:\s+qemu\.start_failed: QEMU ended/],
    ['events watch --from start --type provisioning.vm --count 2', /provisioning\.vm\./],
    ['dead-letter list', /Nothing is parked/],
    ['version', /client \d+\.\d+\.\d+\nserver http/],
  ];
  const more = ['operation list', 'vm list', 'allocation list --state all'];
  /** Without what is shown again and again, and ends when that does. */
  const reading = [...shown.map(([args]) => args).filter((args) => !/ (--watch|-f)\b/.test(args)), ...more];

  test.each(shown)('%s', async (args, expected) => {
    const { out, said, error } = await inProcess(plane.url, token, args);
    expect(out).toMatch(expected);
    expect([error, said]).toEqual([undefined, '']);
  });

  test('is nothing but JSON or YAML where that is asked for, and both are the same', async () => {
    const { parse, parseAllDocuments } = await import('yaml');
    for (const args of reading) {
      const [json, yaml] = [await inProcess(plane.url, token, `${args} -o json`), await inProcess(plane.url, token, `-o yaml ${args}`)];
      expect([args, json.error, yaml.error]).toEqual([args, undefined, undefined]);
      const streamed = /^events watch/.test(args);
      const seen = streamed ? json.out.trim().split('\n').map((l) => JSON.parse(l) as unknown) : JSON.parse(json.out); // prettier-ignore
      const same = streamed ? parseAllDocuments(yaml.out).map((d) => d.toJS() as unknown) : parse(yaml.out);
      expect([args, bare(same)]).toEqual([args, bare(seen)]);
    }
  });

  test('help teaches: each command has a description, and the guide its exit codes', async () => {
    const { stdout, code } = await chrysalis('--help');
    expect([code, stdout]).toEqual([0, expect.stringMatching(/A first walk:[^]*Exit codes:[^]*7 {2}denied/)]);
    expect((await chrysalis('help vm create')).stdout).toContain('Usage: chrysalis vm create');
    expect(await chrysalis('help vm crate')).toMatchObject({ code: 2, stderr: expect.stringContaining('there is no command crate') });
    expect((await chrysalis('migrate --help')).stdout).toMatch(/Examples:\n {2}\$ chrysalis migrate --vm web --to large --wait/);
  });

  test('completion knows the commands and their options', async () => {
    const { stdout } = await chrysalis('completion bash');
    const complete = `${stdout}\nfor w in 'm' 'migration w' 'vm list --st'; do COMP_WORDS=(chrysalis $w); COMP_CWORD=$((\${#COMP_WORDS[@]}-1)); COMPREPLY=(); _chrysalis; echo "\${COMPREPLY[*]}"; done`;
    const shown = await new Promise<string>((resolve) => execFile('bash', ['-c', complete], (_, out) => resolve(out)));
    expect(shown).toBe('migrate migration\nwatch\n--state\n');
  });
});

describe('how it ends', () => {
  test.each([
    ['vm create', 2, /required option '--type <type>'/],
    ['nonsense', 2, /unknown command/],
    ['vm list -o xml', 2, /Allowed choices/],
    ['vm set web --restart sometimes', 2, /Allowed choices are never, on-failure, always/],
    ['vm stop web --guest-timeout 2h', 2, /from 1ms to 1h/],
    ['vm stop web --guest-timeout soon', 2, /a time such as 30s/],
    ['migration start plan-x --concurrency 0', 2, /a whole number, 1 or more/],
    ['vm list --state bogus', 2, /request\.invalid[^]*state/],
    ['options query', 2, /name at least one VM/],
    ['vm create x --type small --image linux', 2, /request\.invalid[^]*name: at least 2 characters/],
    ['vm set web --boot-order root,,data', 2, /'root,,data' is invalid. What was given, or a part of it, is empty/],
    ['vm get nobody', 3, /error vm\.unknown: .*\nnext: chrysalis vm list/],
    ['operation get op-nothing', 3, /operation\.unknown/],
    ['--server http://127.0.0.1:9 vm list', 5, /client\.unreachable[^]*next: is it running/],
    ['--token nonsense vm list', 7, /auth\.required[^]*--token or CHRYSALIS_TOKEN/],
    [`operation wait ${workflowId}`, 1, /^$/],
  ])('%s: %i', async (args, code, stderr) => {
    const ran = await chrysalis(args);
    expect([ran.code, ran.stderr]).toEqual([code, expect.stringMatching(stderr)]);
    if (code > 1) expect(ran.stdout).toBe('');
  });

  test('a file is where its user stands, also under npm; one that is not there is a fault of the call', async () => {
    const { fileGiven, readText } = await import('./command.ts');
    expect(fileGiven('a.yaml', { npm_lifecycle_event: 'chrysalis', INIT_CWD: '/somewhere' })).toBe('/somewhere/a.yaml');
    expect(fileGiven('/b/a.yaml', { npm_lifecycle_event: 'chrysalis', INIT_CWD: '/somewhere' })).toBe('/b/a.yaml');
    expect(fileGiven('a.yaml', { npm_lifecycle_event: 'test', INIT_CWD: '/somewhere' })).toBe(path.resolve('a.yaml'));
    expect(() => readText('/no/such/file')).toThrow(expect.objectContaining({ name: 'UsageError' }));
  });

  test('a private key that is named for the public one does not leave the machine', async () => {
    const { publicKey } = await import('./commands/fleet.ts');
    const file = path.join(mkdtempSync(path.join(tmpdir(), 'chrysalis-key-')), 'id_test');
    writeFileSync(file, '-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n');
    writeFileSync(`${file}.pub`, 'ssh-ed25519 AAAA me\n');
    expect(() => publicKey(file)).toThrow(/is a private key; it was not sent\nnext: .*id_test\.pub/);
    expect(publicKey(`${file}.pub`)).toBe('ssh-ed25519 AAAA me');
  });

  test('4 where it conflicts, 7 where one may not', async () => {
    const viewer = { ...environment(), CHRYSALIS_TOKEN: await plane.token(['viewer']) };
    expect(await chrysalis('vm create web --type small --image linux', { env: viewer })).toMatchObject({
      code: 7,
      stderr: expect.stringMatching(/needs: operator/),
    });
    const { ApiError } = await import('@chrysalis/api-client');
    const { exitCodeOf } = await import('./exit.ts');
    expect(exitCodeOf(ApiError.of(409, { code: 'vm.in_move', title: 'x' }))).toBe(4);
    expect(exitCodeOf(ApiError.of(422, { code: 'vm-type.invalid', title: 'x' }))).toBe(2);
    expect(exitCodeOf(ApiError.of(422, { code: 'request.text_invalid', title: 'x' }))).toBe(2);
    expect(exitCodeOf(ApiError.of(412, { code: 'stream.version_mismatch', title: 'x' }))).toBe(4);
    expect(exitCodeOf(ApiError.of(503, { code: 'service.unavailable', title: 'x' }))).toBe(5);
  });

  test('6 when the time is over, and what to type then', async () => {
    const id = `op-${uuidv7()}`;
    await begin(id);
    const ran = await chrysalis(`operation wait ${id} --timeout 300ms`);
    expect([ran.code, ran.stderr]).toEqual([6, expect.stringContaining(`next: chrysalis operation wait ${id}`)]);
  });

  test('the state file of the runner is found from below', async () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'chrysalis-cli-'));
    const { mkdirSync } = await import('node:fs');
    mkdirSync(path.join(dir, '.chrysalis'));
    mkdirSync(path.join(dir, 'below'));
    writeFileSync(path.join(dir, '.chrysalis/current.json'), JSON.stringify({ server: plane.url, token }));
    const { CHRYSALIS_SERVER: _s, CHRYSALIS_TOKEN: _t, ...env } = environment();
    expect(await chrysalis('host list -o json', { cwd: path.join(dir, 'below'), env })).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('"h1"'),
    });
  });

  test('a reader that has seen enough is no fault', async () => {
    const child = spawn('bash', ['-c', `"$0" "$@" events watch --from start | head -1`, process.execPath, ...entry], {
      env: environment(),
    });
    let stderr = '';
    child.stderr.on('data', (d) => (stderr += d));
    // That nobody reads any more shows at the next write: something has to happen.
    const happening = setInterval(() => void begin(`op-${uuidv7()}`), 200);
    const code = await new Promise((resolve) => child.on('exit', resolve));
    clearInterval(happening);
    expect([code, stderr]).toEqual([0, '']);
  });
});

test('a VM that runs by its state and is off by its host is shown as both, also to who watches', async () => {
  const vmId = 'vm-0199c0de-0000-7000-8000-0000000000b6';
  const tell = (type: string, more: object): Promise<void> =>
    plane.append('provisioning', vmId, `chrysalis.${type}.v1`, { ...data(type), vmId, ...more });
  await tell('provisioning.vm.requested', { name: 'seen' });
  await tell('provisioning.vm.booted', { hostId: 'h1', epoch: 1 });
  const watching = spawn(process.execPath, [...entry, 'vm', 'list', '--host', 'h1', '--watch'], { env: environment() });
  let watched = '';
  watching.stdout.on('data', (d) => (watched += d));
  await until(async () => /seen\s+running\s+-\s/.test(watched));
  await plane.append('agent-gateway', `observed-${vmId}`, 'chrysalis.agent-gateway.vm.observed.v1', {
    ...{ vmId, hostId: 'h1', epoch: 1 },
    observed: {
      ...{ state: 'shut-down', since: '2026-01-01T00:00:00.000Z', resets: 2, lastResetAt: '2026-01-01T00:00:00.000Z', changes: 3 },
      cause: { code: 'vm.shut_down', message: 'the guest powered itself off' },
    },
  });
  await until(async () => /seen\s+running\s+shut-down \d+d\s/.test(watched));
  watching.kill('SIGINT');
  const { stdout } = await chrysalis(`vm get ${vmId}`);
  expect(stdout).toMatch(
    /state:\s+running\ndesired:\s+running\nobserved:\s+shut-down since 2026-01-01T00:00:00.000Z: the guest powered itself off\n\s+restarted 2 times/,
  );
  expect(stdout).toContain(`next: chrysalis vm start ${vmId}\n`);
  expect(stdout).toMatch(/restart:\s+never: it is off, and stays off/);
});

describe('the client', () => {
  test('`watch` shows the steps on stderr and the end on stdout', async () => {
    const id = `op-${uuidv7()}`;
    await begin(id);
    const running = chrysalis(`operation watch ${id} -o json`);
    await plane.append('workflow', `workflow-${id}`, 'chrysalis.workflow.task.dispatched.v1', {
      ...data('workflow.task.dispatched'),
      workflowId: id,
    });
    await end(id, 'succeeded');
    const { code, stdout, stderr } = await running;
    expect(JSON.parse(stdout)).toMatchObject({ id, state: 'succeeded' });
    expect([code, stderr]).toEqual([0, expect.stringMatching(/start\s+place/)]);
  });

  test('the error of a migration that is waited for names its log and what takes it on', async () => {
    const [migrationId, moveId] = [`mig-${uuidv7()}`, `mov-${uuidv7()}`];
    const onMigration = (type: string, more: object): Promise<void> =>
      plane.append('migration-templates', `migration-${migrationId}`, `chrysalis.migration-templates.${type}.v1`, {
        ...data(`migration-templates.${type}`),
        migrationId,
        ...more,
      });
    await onMigration('migration.requested', {});
    const { request } = dataOf(migrationTemplatesEvents.moveStarted);
    await onMigration('move.started', { moveId, request: { ...request, workflowId: moveId } });
    await begin(moveId);
    const stopped = { state: 'stopped', missing: ['boot', 'record'], failed: ['boot'] };
    const ended = { ...data('workflow.instance.ended'), workflowId: moveId, subject: moveId, ...stopped };
    await plane.append('workflow', `workflow-${moveId}`, 'chrysalis.workflow.instance.ended.v1', ended);
    await until(async () => JSON.stringify(await createClient({ server: plane.url, token }).operation(migrationId)).includes('retry-from'));
    await onMigration('move.ended', { moveId, state: 'failed', cause: { code: 'x.y', message: 'no' } });
    await onMigration('migration.ended', { state: 'failed', cause: { code: 'x.y', message: 'no' } });
    const { code, stdout, stderr } = await chrysalis(`migration watch ${migrationId}`);
    expect([code, stdout]).toEqual([1, expect.stringMatching(/stands:\s+past its point of no return[^]*not done: boot, record/)]);
    const next = `next: chrysalis workflow retry-from ${moveId} boot --reason "what kept it is mended"\n`;
    expect(stderr.endsWith(`${next}log: chrysalis migration logs ${migrationId}\n`)).toBe(true);
  });

  test('waits on over a restart of the door, and hears each event once', async () => {
    const id = `op-${uuidv7()}`;
    await begin(id);
    const client = createClient({ server: plane.url, token });
    const heard: string[] = [];
    const waiting = client.waitOperation(id, { timeoutMs: 30_000, onEvent: (e) => void (e.id && heard.push(e.event)) });
    await until(async () => heard.length === 1);
    await plane.restart('admin-api');
    await end(id, 'succeeded');
    expect(await waiting).toMatchObject({ state: 'succeeded' });
    await until(async () => heard.length >= 2);
    expect(heard).toEqual(['chrysalis.workflow.instance.started.v1', 'chrysalis.workflow.instance.ended.v1']);
  });

  test('watchers go on where they were when the door’s database, or the door, cuts them off, however quiet it was', async () => {
    type Changed = DataOf<typeof resourceAllocationEvents.hostStateChanged>;
    const client = createClient({ server: plane.url, token, patienceMs: 3_000 });
    const { pool } = plane.services.get('provisioning')!.service;
    const { server } = plane.services.get('admin-api')!;
    const stream = `host-watched-${uuidv7()}`;
    const done = new AbortController();
    const watchers = Array.from({ length: 8 }, () => {
      const heard: string[] = [];
      const watching = (async () => {
        for await (const e of client.events(`/v1/events?stream=${stream}`, { signal: done.signal }))
          heard.push((e.data as { data: Changed }).data.reason);
      })();
      return { heard, watching };
    });
    const tell = (reason: string) =>
      plane.append('resource-allocation', stream, 'chrysalis.resource-allocation.host.state-changed.v1', {
        hostId: 'h1',
        from: 'enabled',
        to: 'cordoned',
        reason,
      });
    const all = (reasons: string[]) =>
      until(async () => watchers.every((w) => w.heard.filter((r) => r !== 'first').join() === reasons.join()));
    // Who listens from now on hears what is told once it listens: a watcher may connect after a first word.
    await until(async () => (await tell('first'), watchers.every((w) => w.heard.length > 0)));
    const { now } = Date;
    jest.spyOn(Date, 'now').mockImplementation(() => now() + 4_000); // longer than the patience: a quiet stream is no lost one
    server.closeAllConnections();
    await tell('second');
    await all(['second']);
    const db = await pool.connect();
    await db.query('set role none');
    for (let n = 0; n < 40; n++) await cutConnections(db, `application_name like 'chrysalis-admin-api%'`);
    db.release(true);
    await tell('third');
    await all(['second', 'third']);
    done.abort();
    await Promise.all(watchers.map((w) => w.watching));
  });

  test('a command sent while the door is away is done once', async () => {
    const client = createClient({ server: plane.url, token });
    const create = () => client.request<{ vmId: string }>('POST', '/v1/vms', { name: 'once' });
    const { vmId } = (await plane.restart('admin-api', create))!;
    await until(async () => (await client.all('/v1/vms', { name: 'once' })).length > 0);
    expect(await client.all('/v1/vms', { name: 'once' })).toMatchObject([{ vmId }]);
  });
});
