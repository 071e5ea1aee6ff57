import { spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { TemplateSpec } from '@chrysalis/contracts';
import { judgeTemplate } from '@chrysalis/migration-templates-core';
import type { Command } from 'commander';
import { parse } from 'yaml';
import { exitCodeOf, explain } from './exit.ts';
import { UsageError } from './errors.ts';
import { starterTypes } from '../../../tools/run/starter.ts';
import { buildProgram } from './program.ts';
import { inProcess, type InProcess } from './test/in-process.ts';
import { entry, environmentOf } from './test/run.ts';

type Asked = { readonly method: string; readonly url: string; readonly body: Record<string, unknown> | undefined };
type Reply = { readonly status?: number; readonly body: unknown } | 'never';

/** A server that notes what it is asked: what a command sends is what is looked at here. */
let server: Server;
let url: string;
let asked: Asked[] = [];
let answer: (asked: Asked) => Reply;
const folder = mkdtempSync(path.join(tmpdir(), 'chrysalis-verbs-'));
const file = (name: string, text: string): string => {
  writeFileSync(path.join(folder, name), text);
  return path.join(folder, name);
};

const vmId = 'vm-0199c0de-0000-7000-8000-000000000001';
const vm = { vmId, name: 'web', state: 'running', hostId: 'h1', tenant: 'acme' };
const network = { networkId: 'network-0199c0de-0000-7000-8000-000000000001', name: 'back', state: 'active', addresses: {} };
const address = { addressId: 'address-0199c0de-0000-7000-8000-000000000001', name: 'web', state: 'reserved', address: '10.7.0.50' };
const volume = { volumeId: 'volume-0199c0de-0000-7000-8000-000000000001', name: 'data', state: 'available' };
const pool = { poolId: 'pool-0199c0de-0000-7000-8000-000000000001', name: 'shared', hosts: ['h1'] };
const ref = { name: 'small', version: 1 };
const plan = { planId: 'plan-1', basis: { template: ref }, moves: [], ready: true };
const usual = ({ method, url: at }: Asked): Reply => {
  if (method !== 'GET') return { body: at.startsWith('/v1/migration-plans') ? { ...plan, dryRun: true } : { dryRun: true, name: 'x', settings: {}, requested: 1, candidates: [], refused: [] } };
  if (at.startsWith('/v1/vms?')) return { body: { items: [vm] } };
  if (at.startsWith('/v1/vms/')) return { body: vm };
  if (at.startsWith('/v1/networks?')) return { body: { items: [network] } };
  if (at.startsWith('/v1/networks/')) return { body: network };
  if (at.startsWith('/v1/addresses?')) return { body: { items: [address] } };
  if (at.startsWith('/v1/addresses/')) return { body: address };
  if (at.startsWith('/v1/volumes?')) return { body: { items: [volume] } };
  if (at.startsWith('/v1/volumes/')) return { body: volume };
  if (/^\/v1\/pools($|\?)/.test(at)) return { body: { items: [pool] } };
  if (at.startsWith('/v1/pools/')) return { body: pool };
  if (at.startsWith('/v1/workflow-limits')) return { body: { limits: {}, running: [] } };
  if (at.startsWith('/v1/vm-types/')) return { body: { spec: { vcpus: { now: 1 }, memoryMiB: { now: 1 }, disks: [], nics: [], requiredTraits: [] } } };
  return { body: { items: [], unavailable: [] } };
}; // prettier-ignore

beforeAll(async () => {
  server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk) => (text += String(chunk)));
    request.on('end', () => {
      const one = { method: request.method!, url: request.url!, body: text ? (JSON.parse(text) as Record<string, unknown>) : undefined };
      asked.push(one);
      const reply = answer(one);
      if (reply === 'never') return;
      response.writeHead(reply.status ?? 200, { 'content-type': 'application/json' }).end(JSON.stringify(reply.body));
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  asked = [];
  answer = usual;
});

const run = (line: string | readonly string[]): Promise<InProcess> => inProcess(url, 't', line);

const leaves = (command: Command, at: readonly string[] = []): { name: string; command: Command }[] =>
  command.commands.flatMap((c) => {
    const name = [...at, c.name()];
    const own = c.commands.length === 0 || name.join(' ') === 'workflow limits' ? [{ name: name.join(' '), command: c }] : [];
    return [...own, ...leaves(c, name)];
  });

const reads = new Set(
  ['vm', 'volume', 'network', 'address', 'host', 'pool', 'allocation', 'type', 'image', 'grant', 'template', 'migration', 'workflow', 'operation', 'workflow template', 'workflow policy', 'dead-letter', 'workflow executor']
    .flatMap((noun) => ['list', 'get', 'watch', 'wait', 'logs', 'history', 'analysis', 'replay', 'schema', 'validate', 'test', 'queue', 'limits', 'executors', 'log', 'screen', 'console'].map((verb) => `${noun} ${verb}`))
    .concat(['versions', 'export', 'diff', 'try'].map((verb) => `template ${verb}`))
    .concat('plan get', 'events watch', 'version', 'completion', 'help', 'relay audit'), // `relay audit` without --fill only compares
); // prettier-ignore

const spec = file('spec.yaml', 'a: 1');
/** How each command that changes something is called. */
const lines: Readonly<Record<string, string>> = {
  'vm create': 'web --type small --image linux@1',
  'vm set': 'web --restart always --label team=web --boot-order root',
  'vm filter': 'web --allow tcp:80',
  'vm nic attach': 'web --network back --allow tcp:80',
  'vm nic detach': 'web --network back',
  'vm delete': 'web',
  ...Object.fromEntries(['start', 'stop', 'reboot', 'reset', 'pause', 'resume'].map((v) => [`vm ${v}`, 'web'])),
  ...Object.fromEntries(['enable', 'cordon', 'drain', 'retire', 'release-agent'].map((v) => [`host ${v}`, 'h1 --reason x'])),
  'host audit': 'h1 --remove --no-wait',
  'network create': 'back --subnet 10.7.0.0/24',
  'network delete': 'back',
  'address reserve': '--network back --address 10.7.0.50 --name web',
  'address bind': 'web --vm web --move',
  'address unbind': '10.7.0.50',
  'address release': 'web',
  'volume create': 'data --size 64',
  'volume delete': 'data',
  'volume attach': 'data --vm web',
  'volume detach': 'data --force',
  'volume grow': 'data --size 128',
  'pool set': 'shared --ratio 2000 --reason x',
  'type publish': `large --file ${spec}`,
  'type deprecate': 'small@1 --reason x',
  'image register': 'linux --digest sha256:x',
  'image delete': 'linux@1',
  'image import': `debian ${file('disk.raw', 'a disk')}`,
  'grant register': 'a.b.c',
  'grant revoke': 'g --reason x',
  'options query': '--vm web',
  'template create': `grow --file ${spec}`,
  'template from-option': 'grow --query q --option o',
  'template retire': 'grow',
  'template delete': 'grow',
  'template update': `grow --file ${spec}`,
  'template clone': 'grow grown',
  'template import': `--file ${spec}`,
  'plan create': '--template grow@1 --vm web',
  migrate: '--vm web --to large --grant g',
  'migration start': 'plan-1',
  'migration cancel': 'mig-1',
  'migration approve': 'mig-1 --vm web',
  'migration reject': 'mig-1 --reason x',
  'migration pause': 'mig-1 --for 2h',
  'migration resume': 'mig-1',
  'migration retry': 'mig-1',
  'migration undo': 'mig-1 --concurrency 2',
  ...Object.fromEntries(['pause', 'resume', 'undo'].map((v) => [`workflow ${v}`, 'op-1 --reason x'])),
  ...Object.fromEntries(['retry-from', 'skip', 'mark-done'].map((v) => [`workflow ${v}`, 'op-1 t --reason x'])),
  'workflow reassign': 'op-1 t --group g --reason x',
  'workflow add-task': `op-1 --file ${spec} --reason x`,
  'workflow duplicate': 'op-1 t --as u --reason x',
  'workflow replace': `op-1 t --file ${spec} --reason x`,
  'workflow rewire': 'op-1 t --after u --reason x',
  'workflow set-limits': 'op-1 --deadline 1m --reason x',
  'workflow cancel': 'op-1',
  'workflow start': 'check',
  'workflow limits set': '--overall 1',
  'workflow template publish': spec,
  'workflow template retire': 'check',
  'workflow policy apply': `${spec} --enable`,
  ...Object.fromEntries(['enable', 'disable', 'remove'].map((v) => [`workflow policy ${v}`, 'p'])),
  'operation cancel': 'op-1',
  'dead-letter redrive': 'workflow e',
  'dead-letter discard': 'workflow e',
};
/** Signs with a key that is at hand only where something runs; it sends what `grant register` sends. */
const apart = ['grant create'];

describe('every command', () => {
  test('reads, or can be tried', () => {
    const changing = leaves(buildProgram()).filter((l) => l.command.options.some((o) => o.long === '--dry-run'));
    const others = leaves(buildProgram()).filter((l) => !changing.includes(l) && !changing.some((c) => c.name === l.name));
    expect(others.map((l) => l.name).filter((name) => !reads.has(name))).toEqual([]);
    expect(changing.map((l) => l.name).sort()).toEqual([...Object.keys(lines), ...apart].sort());
  });

  test.each(Object.entries(lines))('%s %s --dry-run asks for nothing but a dry run', async (name, line) => {
    const { error } = await run(`${name} ${line} --dry-run`);
    expect(error).toBeUndefined();
    const sent = asked.filter((a) => a.method !== 'GET' && !/^\/v1\/(volume-)?placements$/.test(a.url)); // which are trials by themselves
    expect(sent.length).toBeGreaterThan(0);
    expect(sent.filter((a) => !/[?&]dryRun=true$/.test(a.url))).toEqual([]);
  });

  test.each(Object.entries(lines).filter(([name]) => name !== 'migrate'))('%s %s means it otherwise', async (name, line) => {
    await run(`${name} ${line}`);
    const [first] = asked.filter((a) => a.method !== 'GET');
    expect(first!.url).not.toContain('dryRun');
  });
});

test('workflow policy apply --enable is one request, so that its dry run tries both', async () => {
  await run(`workflow policy apply ${spec} --enable --dry-run`);
  expect(asked.map((a) => `${a.method} ${a.url}`)).toEqual(['POST /v1/workflow-policies?enable=true&dryRun=true']);
});

describe('a name that two VMs have', () => {
  test('is not guessed: both are named with how they stand, and nothing is sent', async () => {
    const other = { ...vm, vmId: vmId.replace('1', '2'), state: 'placed', hostId: undefined };
    answer = (a) => (a.url.startsWith('/v1/vms?') ? { body: { items: [vm, other] } } : usual(a));
    const { error } = await run('vm delete web');
    expect(error!.message.split('\n')).toEqual(['2 VMs are named web', `  ${vmId}  running on h1`, `  ${other.vmId}  placed`, 'next: chrysalis vm delete ID']);
    expect(asked.filter((a) => a.method !== 'GET')).toEqual([]);
    expect((await run('volume attach data --vm web')).error!.message).toMatch(/\nnext: chrysalis volume attach data --vm ID$/);
  }); // prettier-ignore
});

test('no command has an option that the program, or what it stands below, has too: that one would take its value', () => {
  const clashes = (command: Command, above: readonly string[]): string[] => {
    const own = command.options.flatMap((o) => [o.long, o.short, o.attributeName()]).filter((name) => name !== undefined);
    const clash = own.filter((name) => above.includes(name)).map((name) => `${command.name()} ${name}`);
    return [...clash, ...command.commands.flatMap((c) => clashes(c, [...above, ...own]))];
  };
  expect(clashes(buildProgram(), [])).toEqual([]);
});

test('workflow mark-done says what the task gave', async () => {
  const sent = async (line: string) => (await run(`workflow mark-done op-1 t --reason x ${line}`), asked.at(-1)!.body!['change']);
  expect(await sent('')).toEqual({ type: 'mark-done', task: 't', output: {} });
  expect(await sent('--result {"hostId":"h2"} -o json')).toEqual({ type: 'mark-done', task: 't', output: { hostId: 'h2' } });
});

test('vm list asks for all labels that it is given', async () => {
  for (const line of ['--label a=1 --label b=2', '--label a=1,b=2']) {
    await run(`vm list ${line}`);
    expect(asked.at(-1)!.url).toBe('/v1/vms?label=a%3D1%2Cb%3D2');
  }
  await run('vm list');
  expect(asked.at(-1)!.url).toBe('/v1/vms');
});

describe('a list of what belongs to something', () => {
  const none = (a: Asked): Reply => {
    if (/[?&]name=/.test(a.url)) return { body: { items: [] } };
    const of = /^\/v1\/(vm|network|host)s\/nosuch$/.exec(a.url)?.[1];
    return of ? { status: 404, body: { code: `${of}.unknown`, title: 't' } } : usual(a);
  };

  test.each([
    ['address list --network back --vm web', `/v1/addresses?network=${network.networkId}&vm=${vmId}`],
    [`address list --vm ${vmId}`, `/v1/addresses?vm=${vmId}`],
    ['volume list --vm web --pool shared', `/v1/volumes?pool=shared&vm=${vmId}`],
    ['allocation list --vm web', `/v1/allocations?vm=${vmId}`],
    ['operation list --subject web', `/v1/operations?subject=${vmId}`],
    ['workflow list --subject op-0199c0de-0000', '/v1/workflows?subject=op-0199c0de-0000'],
  ])('%s takes it by name', async (line, url) => {
    answer = (a) => (a.url.startsWith('/v1/hosts/') ? { status: 404, body: { code: 'host.unknown', title: 't' } } : usual(a));
    expect((await run(line)).error).toBeUndefined();
    expect(asked.at(-1)!.url).toBe(url);
  });

  test.each([
    ['address list --network nosuch', 'network.unknown'],
    ['address list --vm nosuch', 'vm.unknown'],
    ['volume list --vm nosuch', 'vm.unknown'],
    ['volume list --pool nosuch', 'pool.unknown'],
    ['allocation list --vm nosuch', 'vm.unknown'],
    ['vm list --host nosuch', 'host.unknown'],
  ])('%s is not found', async (line, code) => {
    answer = none;
    const { error, out } = await run(line);
    expect([exitCodeOf(error), out, explain(error)]).toEqual([3, '', expect.stringContaining(code)]);
  });

  test('a subject that is no VM is what was said; one that a VM and a host are called is not guessed', async () => {
    answer = (a) => (a.url.startsWith('/v1/hosts/') ? { body: { hostId: 'h1' } } : none(a));
    await run('workflow list --subject h1');
    expect(asked.at(-1)!.url).toBe('/v1/workflows?subject=h1');
    answer = (a) => (a.url.startsWith('/v1/hosts/') ? { body: { hostId: 'web' } } : usual(a));
    expect((await run('workflow list --subject web')).error!.message).toMatch(/^2 VMs and hosts are named web/);
  });
});

describe('images', () => {
  const content = { digest: 'sha256:x', cmdline: '' };
  const there = [2, 1].map((version) => ({ name: 'linux', version, ...content, digest: `sha256:${version}` }));
  beforeEach(() => {
    answer = (a) => {
      if (a.url === '/v1/images?versions=all') return { body: { items: there } };
      return a.method === 'POST' && a.url === '/v1/images' ? { body: a.body } : usual(a);
    };
  });

  test('image list --all asks for every version', async () => {
    expect((await run('image list --all')).out).toMatch(/linux@2 [^]*linux@1 /);
    await run('image list');
    expect(asked.map((a) => a.url)).toEqual(['/v1/images?versions=all', '/v1/images']);
  });

  test.each([
    ['linux', 'x', /^registered linux@3\nversion 3 of an image that is there; `--image linux` means linux@3 from now on: chrysalis image list --all\n$/],
    ['linux', '1', /^registered linux@1\nit was there already; `--image linux` means linux@2\n$/],
    ['linux', '2', /^registered linux@2\nit was there already\n$/],
    ['linux@7', 'x', /^registered linux@7\nversion 7 of [^]*means linux@7 from now on/],
    ['debian', 'x', /^registered debian@1\n$/],
  ])('image register %s of content %s says which version it is, and what its name means then', async (name, digest, said) => {
    expect((await run(`image register ${name} --digest sha256:${digest}`)).out).toMatch(said);
  });

  test.each(['good@0', 'good@x', 'good@', 'Good', 'good@1@2'])('%s is no name of an image, before anything is sent', async (name) => {
    for (const line of [`image import ${name} ${spec}`, `image register ${name} --digest sha256:x`]) {
      const { error } = await run(line);
      expect([exitCodeOf(error), explain(error)]).toEqual([2, expect.stringMatching(/: an image is named as in debian, or debian@2/)]);
    }
    expect(asked).toEqual([]);
  });

  test.each([
    [folder, /: is a folder, and not a file$/],
    [path.join(folder, 'nosuch'), /: there is no such file$/],
    [file('empty', ''), /: is empty$/],
  ])('a disk that is none is a fault of the call: %s', async (named, said) => {
    for (const format of ['', ' --format raw']) {
      const { error } = await run(`image import good ${named}${format}`);
      expect([exitCodeOf(error), explain(error)]).toEqual([2, expect.stringMatching(said)]);
    }
    expect(asked).toEqual([]);
  });
}); // prettier-ignore

test('vm nic detach of a NIC that the type brings says whose it is', async () => {
  const topology = { nics: [{ id: 'front', network: 'front', mac: 'm' }], disks: [] };
  answer = (a) => {
    if (a.url === '/v1/networks?name=front') return { body: { items: [] } };
    if (a.url === '/v1/networks/front') return { status: 404, body: { code: 'network.unknown', title: 't' } };
    return a.url === `/v1/vms/${vmId}` ? { body: { ...vm, topology } } : usual(a);
  };
  const { error } = await run('vm nic detach web --network front');
  expect([exitCodeOf(error), explain(error)]).toEqual([4, expect.stringMatching(/front is a NIC that web has from its type[^]*\nnext: chrysalis options query --vm vm-/)]);
  answer = ((before) => (a: Asked) => (a.url === `/v1/vms/${vmId}` ? { body: vm } : before(a)))(answer);
  expect(exitCodeOf((await run('vm nic detach web --network front')).error)).toBe(3);
}); // prettier-ignore

test('address unbind of one that no VM has says so; bind of one that has it, that it is so', async () => {
  answer = (a) => (a.method === 'POST' ? { body: { state: a.url.includes('unbind') ? 'reserved' : 'bound' } } : usual(a));
  expect((await run('address unbind web')).out).toBe('web is had by no VM\n');
  expect((await run('address bind web --vm web')).out).toBe('web is so already: bound\n');
});

test('vm set --boot-order takes names, again or by commas; `workflow rewire --after` nothing, where that is said', async () => {
  const order = async (line: string) => (await run(`vm set web ${line}`), asked.at(-1)!.body);
  expect(await order('--boot-order root,data')).toEqual({ bootOrder: ['root', 'data'] });
  expect(await order('--boot-order root --boot-order data')).toEqual({ bootOrder: ['root', 'data'] });
  expect(await order('--boot-order default')).toEqual({ bootOrder: [] });
  await run(['workflow', 'rewire', 'op-1', 't', '--reason', 'x', '--after', '']);
  expect(asked.at(-1)!.body).toMatchObject({ change: { type: 'rewire', task: 't', after: [] } });
});

describe('a refusal', () => {
  const refusing = (problem: object) => (a: Asked) => (a.url === '/v1/volumes' && a.method === 'POST' ? { status: 422, body: problem } : roomy(a));
  const roomy = (a: Asked): Reply => (a.url === '/v1/volume-placements' ? { body: { candidates: [{ hostId: 'h1' }], refused: [] } } : usual(a));
  const said = async (line: string) => explain((await run(line)).error);

  test('of what was typed names options, and the command to read on', async () => {
    const errors = [{ path: 'sizeMiB', message: 'Too big' }, { path: 'name', message: 'a name is' }];
    answer = refusing({ code: 'request.invalid', title: 'The request has faults', errors, next: 'mend what `errors` names, and send it again' });
    expect(await said('volume create Data --size 9')).toBe(
      'error request.invalid: The request has faults\n  --size: Too big\n  name: a name is\nnext: mend that; chrysalis volume create --help shows what it takes',
    );
    answer = refusing({ code: 'volume.size_missing', title: 'It has no size', next: 'say sizeMiB, or what it is made of' });
    expect(await said('volume create data')).toMatch(/\nnext: say --size, or what it is made of$/);
  });

  test('of a volume that no host has room for leaves none that failed', async () => {
    const refused = [{ hostId: 'h1', reasons: [{ code: 'pool.capacity_exceeded', message: 'too little' }] }];
    answer = (a) => (a.url === '/v1/volume-placements' ? { body: { candidates: [], refused } } : usual(a));
    const { error } = await run('volume create data --size 64 --host h1');
    expect([exitCodeOf(error), explain(error)]).toEqual([4, 'error: Could go nowhere.\n  not h1: pool.capacity_exceeded: too little']);
    expect(asked.filter((a) => a.url.startsWith('/v1/volumes'))).toEqual([]);
  });

  test('of a pool that is not there names those that are, as commands take them', async () => {
    answer = (a) => (a.url === '/v1/pools?name=nosuch' ? { body: { items: [] } } : usual(a));
    const { error } = await run('pool set nosuch --ratio 2000');
    expect([exitCodeOf(error), explain(error)]).toEqual([3, 'error pool.unknown: No pool `nosuch`; there is shared\nnext: chrysalis pool list']);
  });
}); // prettier-ignore

test('pool set: without an option there is nothing to change; a dry run is read by people', async () => {
  expect((await run('pool set shared')).error!.message).toBe('nothing to change: say --allocation, --ratio or --reserve');
  const settings = { allocation: 'thin', ratioPerMille: 2000, reservedMiB: 8 };
  answer = (a) => (a.method === 'PATCH' ? { body: { dryRun: true, name: 'shared', settings, capacityMiB: 100, heldMiB: 7 } } : usual(a));
  expect((await run('pool set shared --ratio 2000 --dry-run')).out).toMatch(
    /^pool: +shared\nallocation: +thin\nratio: +2000 of 1000\nreserved: +8 MiB\nmay be promised: +100 MiB\nheld: +7 MiB\n$/,
  );
});

describe('migration templates by hand', () => {
  test('the example is a spec, and has each section', async () => {
    const { out } = await run('template create x --example');
    const { preMigration, migration, hotPlug, postMigration } = TemplateSpec.parse(parse(out));
    for (const section of [preMigration, migration, hotPlug, postMigration]) expect(section.length).toBeGreaterThan(0);
    const types = new Map(Object.entries(starterTypes).map(([name, type]) => [`${name}@1`, type]));
    expect(judgeTemplate(parse(out), (t) => types.get(t)).findings).toEqual([]);
    expect(JSON.parse((await run('template schema')).out)).toMatchObject({ type: 'object', properties: { hotPlug: {} } });
    expect(asked).toEqual([]);
  });

  test.each(['yaml', 'json'])('what get prints as %s is what create takes', async (format) => {
    const shown = { name: 'grow', version: 3, ref: 'grow@3', spec: { a: [1] }, at: '2026-01-01T00:00:00Z', retired: false };
    answer = (a) => (a.method === 'GET' ? { body: shown } : usual(a));
    const { out } = await run(`template get grow -o ${format}`);
    await run(`template create grow2 --file ${file('got', out)}`);
    expect(asked.at(-1)).toMatchObject({ method: 'POST', body: { name: 'grow2', spec: { a: [1] } } });
  });
});

test('a host that fits nowhere in a large fleet: vm create --dry-run tells of 20, and how many more there are', async () => {
  const refused = Array.from({ length: 3_000 }, (_, i) => ({
    hostId: `h${i}`,
    reasons: [{ code: 'host.draining', message: 'is draining' }],
  }));
  answer = (a) => (a.url === '/v1/placements' ? { body: { candidates: [], refused } } : usual(a));
  const { out } = await run('vm create web --type small --image linux@1 --dry-run');
  expect(out.trim().split('\n').slice(20)).toEqual([
    '  not h19: host.draining: is draining',
    '  and 2980 more hosts; -o json has them all',
  ]);
});

describe('migrate --to', () => {
  const ids = Array.from({ length: 250 }, (_, i) => `vm-0199c0de-0000-7000-8000-${String(i).padStart(12, '0')}`);
  /** One query takes 100 VMs, as the service has it. */
  const ofMany = (a: Asked): Reply => {
    if (a.url.startsWith('/v1/vms/')) return { body: { ...vm, vmId: a.url.slice('/v1/vms/'.length) } };
    if (a.method === 'GET' && a.url.startsWith('/v1/migration-options-queries/')) return { body: { state: 'answered' } };
    if (!a.url.startsWith('/v1/migration-options-queries')) return usual(a);
    if ((a.body!['vmIds'] as string[]).length > 100)
      return { status: 400, body: { code: 'request.invalid', title: 't', detail: 'too many' } };
    return { body: { queryId: 'qry-1', state: 'asked', operation: 'qry-1' } };
  };
  const queried = () =>
    asked.filter((a) => a.method === 'POST' && a.url.startsWith('/v1/migration-options-queries')).map((a) => a.body!['vmIds']);

  test('tried under a grant for hundreds of VMs, it says what to type so that agents look into all of them', async () => {
    answer = ofMany;
    const { said } = await run(`migrate --vm ${ids.join(',')} --to large --grant g --dry-run`);
    const lines = said.split('\n').filter((l) => l.includes('options query'));
    expect(queried()).toHaveLength(3);
    asked = [];
    for (const line of lines) expect((await run(line.trim().replace('chrysalis ', ''))).error).toBeUndefined();
    expect(queried()).toEqual([ids.slice(0, 100), ids.slice(100, 200), ids.slice(200)]);
  });

  test('under a grant for hundreds of VMs, agents look into all of them before the plan is made', async () => {
    answer = ofMany;
    await run(`migrate --vm ${ids.join(',')} --to large --grant g`);
    expect(queried()).toEqual([ids.slice(0, 100), ids.slice(100, 200), ids.slice(200)]);
    expect(asked.find((a) => a.url.startsWith('/v1/migration-plans'))?.body).toMatchObject({ vmIds: ids, grantId: 'g' });
  });

  test('by a template under a grant, agents look first; a second way to say where to is refused', async () => {
    answer = ofMany;
    await run(`migrate --vm ${ids.slice(0, 2).join(',')} --template grow@1 --grant g`);
    expect(queried()).toEqual([ids.slice(0, 2)]);
    expect(asked.find((a) => a.url.startsWith('/v1/migration-plans'))?.body).toEqual({ template: 'grow@1', vmIds: ids.slice(0, 2) });
    expect((await run(`migrate --vm ${ids[0]} --template grow@1 --to large`)).error!.message).toMatch(/without --to/);
  });

  test('VMs are named or found, and how they go is a part of the plan', async () => {
    answer = ofMany;
    const planned = () => asked.find((a) => a.url.startsWith('/v1/migration-plans'))?.body;
    const windows = '--window 2026-12-01T22:00Z/2026-12-02T04:00Z';
    await run(`migrate --label team=web --label tier=2 --template grow@1 --dry-run --canary 1 --per-target 2 ${windows}`);
    expect(planned()).toEqual({
      template: 'grow@1',
      select: { labels: { team: 'web', tier: '2' } },
      run: {
        policy: {
          canary: 1,
          limits: { perTarget: 2 },
          windows: [{ from: '2026-12-01T22:00:00.000Z', until: '2026-12-02T04:00:00.000Z' }],
        },
      },
    });
    asked = [];
    await run(['plan', 'create', '--template', 'grow@1', '--filter', 'vm.host == "h1"']);
    expect(planned()).toEqual({ template: 'grow@1', select: { filter: 'vm.host == "h1"' } });
    expect((await run('migrate --vm web --label team=web --to large')).error!.message).toMatch(/not both/);
    expect((await run('migrate --label team --to large')).error!.message).toMatch(/KEY=VALUE/);
    expect((await run('migrate --vm web --to large --window tonight')).error!.message).toMatch(/FROM\/UNTIL/);
  });

  test('an order that is none is a fault of the call', async () => {
    answer = ofMany;
    expect((await run(`migrate --vm ${ids[0]} --to large --after db`)).error!.message).toMatch(/VM=VM, such as db=web/);
  });

  test('an option that is not offered is said with what rules it out', async () => {
    const blocker = { code: 'x.y', message: 'why', remedy: 'do' };
    const refused = [{ id: 'large@1/move/pre-copy/expose', blockers: [blocker] }];
    answer = (a) => (a.method === 'POST' ? { status: 409, body: { code: 'option.refused', title: 't', detail: 'no option to large', refused } } : usual(a));
    expect((await run('migrate --vm web --to large')).error!.message).toMatch(/^no option to large\n[^]*x\.y: why\n {4}remedy: do/);
  }); // prettier-ignore
});

test.each([
  ['vm create web --type small --image linux@1 --wait', 'operation watch op-1'],
  ['operation watch op-1', 'operation watch op-1'],
  ['operation wait op-1', 'operation watch op-1'],
])('Ctrl-C in %s ends it with 130 and says how to watch on', async (line, next) => {
  const waiting = Promise.withResolvers<void>();
  answer = (a) => {
    if (a.method !== 'GET') return { status: 202, body: { operation: 'op-1', vmId } };
    waiting.resolve();
    return 'never';
  };
  const child = spawn(process.execPath, [...entry, ...line.split(' ')], { env: environmentOf(url, 't'), stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stderr.on('data', (chunk) => (said += String(chunk)));
  await waiting.promise;
  child.kill('SIGINT');
  const [code] = (await once(child, 'close')) as [number];
  expect([code, said]).toEqual([130, `op-1 goes on\nnext: chrysalis ${next}\n`]);
}); // prettier-ignore

test.each([
  'vm create web --type small --image linux@1 --network ,address=10.7.0.9',
  'vm create web --type small --image linux@1 --network EMPTY',
  'vm create web --type small --image linux@1 --allow icmp',
  'vm create web --type small --image linux@1 --network back --allow tcp:90-80',
  'vm filter web --allow tcp:90-80',
  'vm create web --type small --image linux@1 --host EMPTY',
  'vm create web --type small --image linux@1 --pool EMPTY',
  'vm create web --type small --image linux@1 --label EMPTY',
  'vm create web --type small --image EMPTY',
  'vm create EMPTY --type small --image linux@1',
  'vm delete EMPTY',
  'vm set web --boot-order EMPTY',
  'vm set web --boot-order ,',
  'vm set web --boot-order root,,back',
  'vm set web --boot-order root,',
  'vm set web --label EMPTY',
  'vm set web --name EMPTY',
  'vm nic attach web --network EMPTY',
  'vm nic detach web --network EMPTY',
  'network delete EMPTY',
  'address reserve --network EMPTY',
  'address reserve --network back --name EMPTY',
  'address reserve --network back --address EMPTY',
  'address bind EMPTY --vm web',
  'address bind web --vm EMPTY',
  'address release EMPTY',
  'volume create data --size 64 --host EMPTY',
  'volume create data --from-volume EMPTY',
  'volume create data --from-image EMPTY',
  'volume attach data --vm EMPTY',
  'volume delete EMPTY',
  'pool set EMPTY --ratio 2000',
  'migrate --vm EMPTY --to large',
  'migrate --vm web,,db --to large',
  'migrate --vm web --to large --grant EMPTY',
  'plan create --template grow@1 --vm EMPTY',
  'operation cancel EMPTY',
  'address list --vm EMPTY',
  'volume list --pool EMPTY',
  'vm list --label EMPTY',
  'type get EMPTY',
])('%s changes nothing: it would not be what is meant', async (line) => {
  const { error } = await run(line.split(' ').map((word) => (word === 'EMPTY' ? '' : word)));
  expect(error?.message).toMatch(/no .* is named|nothing is named|is empty|--allow is of networks|last port is before/);
  expect([2, undefined]).toContain(error instanceof UsageError ? exitCodeOf(error) : undefined);
  expect(asked.filter((a) => a.method !== 'GET')).toEqual([]);
});
