import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { CONSOLE_TYPED_WINDOW, CONSOLE_WINDOW, eventsTopic, provisioningEvents, type ConsoleWord } from '@chrysalis/contracts';
import { issueToken, type Role } from '@chrysalis/service-kit';
import { busEvent, until } from '@chrysalis/testing';
import { WebSocket } from 'ws';
import { Identity } from '../../../host-agent/src/identity.ts';
import { hello, TestAgent, world, type Gateway, type World } from '../test/harness.ts';

const vmId = 'vm-c';
const dir = mkdtempSync(join(tmpdir(), 'chrysalis-consoles-'));
let w: World;
let gateway: Gateway;
let agent: TestAgent;

/** What a client hears: the guest's bytes, and what is said about them. */
class Client {
  text = '';
  readonly words: ConsoleWord[] = [];
  constructor(readonly socket: WebSocket) {
    socket.on('message', (data, binary) => {
      if (binary) this.text += String(data as Buffer);
      else this.words.push(JSON.parse(String(data as Buffer)) as ConsoleWord);
    });
    socket.on('error', () => undefined);
  }
  async word<T extends ConsoleWord['type']>(type: T): Promise<Extract<ConsoleWord, { type: T }>> {
    await until(async () => this.words.some((word) => word.type === type));
    return this.words.find((word) => word.type === type) as Extract<ConsoleWord, { type: T }>;
  }
}
const tokenOf = (roles: Role[], tenant = 'acme', expires = '12h'): Promise<string> =>
  issueToken(w.key.privateJwk, { sub: roles.join('+'), roles, tenant }, expires);
const connect = async (query: string, token: string, vm = vmId): Promise<WebSocket> =>
  new WebSocket(`${gateway.url.replace('http', 'ws')}/v1/vms/${vm}/console${query}`, { headers: { authorization: `Bearer ${token}` } });
const open = async (query: string, roles: Role[] = ['operator', 'console'], expires?: string): Promise<Client> => {
  const client = new Client(await connect(query, await tokenOf(roles, 'acme', expires)));
  await once(client.socket, 'open');
  return client;
};
const refusal = async (query: string, token: string, vm?: string): Promise<unknown> => {
  const socket = await connect(query, token, vm);
  socket.on('error', () => undefined);
  const [, response] = (await once(socket, 'unexpected-response')) as [unknown, AsyncIterable<Buffer> & { statusCode: number }];
  let body = '';
  for await (const piece of response) body += String(piece);
  return [response.statusCode, (JSON.parse(body) as { code: string }).code];
};
let asked = 0;
/** The agent's end of the next console that is asked for. */
const opening = () => agent.next('console-open', ++asked);
const says = (session: string, text: string, more: object = {}): void =>
  agent.send({ type: 'console-output', session, data: Buffer.from(text).toString('base64'), ...more });
const audited = async (): Promise<Record<string, unknown>[]> =>
  (await w.events(gateway, `console-${vmId}`)).map(({ type, data }) => ({ type: type.split('.').at(-2), ...data }));
/** `identity`: of an agent that says who it is, as one of today does. */
const greet = async (protocol: number, identity?: Identity): Promise<TestAgent> => {
  const at = await TestAgent.open(gateway.agentsUrl);
  await identity?.ready();
  const said = identity ? { identity: identity.prove('h1', at.nonce) } : {};
  at.send({ ...hello('h1', await w.token('host:h1', 'host-agent')), protocol: { min: 1, max: protocol }, ...said });
  await at.next('welcome');
  return at;
};
const place = async (vm: string, hostId: string): Promise<void> => {
  const event = busEvent(vm, provisioningEvents.vmPlaced.type, { vmId: vm, hostId, epoch: 1 }, { tenant: 'acme' });
  await gateway.service.bus.publish([{ topic: eventsTopic('provisioning'), event }]);
  await until(async () => (await gateway.service.pool.query(`select from agent_gateway.vm_places where vm_id = $1`, [vm])).rowCount === 1);
};

beforeAll(async () => {
  w = await world();
  gateway = await w.start({ lostAfterMs: 600_000 });
  await place(vmId, 'h1');
  await place('vm-away', 'h2');
});
afterAll(async () => {
  await w.stop();
  rmSync(dir, { recursive: true });
});

test('who may not is told before the upgrade; where the host is away, or its agent of before, over it or as a problem', async () => {
  const writer = await tokenOf(['operator', 'console']);
  expect(await refusal('', 'nonsense')).toEqual([401, 'auth.required']);
  expect(await refusal('', await tokenOf(['viewer']))).toEqual([403, 'auth.denied']);
  expect(await refusal('', await tokenOf(['console']))).toEqual([403, 'auth.denied']);
  expect(await refusal('?write=true', await tokenOf(['operator']))).toEqual([403, 'auth.denied']);
  expect(await refusal('', await tokenOf(['admin'], 'other'))).toEqual([404, 'vm.unknown']);
  expect(await refusal('', writer, 'vm-none')).toEqual([404, 'vm.unknown']);
  expect(await refusal('?speed=9600', writer)).toEqual([422, 'request.invalid']);
  expect(await refusal('?tail=99999', writer)).toEqual([422, 'request.invalid']);
  const away = new Client(await connect('', writer, 'vm-away'));
  expect(await away.word('closed')).toMatchObject({ code: 'console.host_away' });
  const old = await greet(2);
  expect(await (await open('')).word('closed')).toMatchObject({ code: 'console.agent_too_old' });
  old.close();
  await until(async () => old.closeCode !== undefined);
  expect(await audited()).toEqual([]);
});

test('bytes go both ways, whoever opened and closed it is recorded, and nothing of what was said', async () => {
  agent = await greet(4, new Identity(dir));
  const client = await open('?write=true&tail=100');
  const { session, write, force, tail, by, what } = await opening();
  expect([what, write, force, tail, by]).toEqual(['terminal', true, false, 100, 'operator+console']);
  agent.send({ type: 'console-opened', session, writer: true });
  says(session, 'login: ', { skipped: 7 });
  expect(await client.word('opened')).toEqual({ type: 'opened', session, hostId: 'h1', writer: true });
  expect(await client.word('skipped')).toEqual({ type: 'skipped', bytes: 7 });
  await until(async () => client.text === 'login: ');
  expect(await agent.next('console-passed')).toMatchObject({ session, bytes: 7 });
  client.socket.send(Buffer.from('root\r'));
  expect(Buffer.from((await agent.next('console-typed')).data, 'base64').toString()).toBe('root\r');
  agent.send({ type: 'console-took', session, bytes: 5 });
  agent.send({ type: 'console-reads', session, by: 'bob' });
  expect(await client.word('reads')).toEqual({ type: 'reads', by: 'bob' });
  client.socket.close();
  expect(await agent.next('console-close')).toMatchObject({ session });
  await until(async () => (await audited()).length === 2);
  const both = { vmId, hostId: 'h1', session };
  expect(await audited()).toEqual([
    { type: 'opened', ...both, writer: true },
    { type: 'closed', ...both, code: 'console.left', readBytes: 7, typedBytes: 5 },
  ]);
  const [stored] = await gateway.service.store.read(`console-${vmId}`);
  expect(stored?.meta).toMatchObject({ actor: 'user:operator+console', tenant: 'acme' });
});

test('more than a window is on its way in neither direction: who types faster than the guest reads waits', async () => {
  const client = await open('?write=true');
  const { session } = await opening();
  agent.send({ type: 'console-opened', session, writer: true });
  await client.word('opened');
  const typed = () =>
    agent.frames.flatMap((f) => (f.type === 'console-typed' && f.session === session ? [Buffer.from(f.data, 'base64')] : []));
  const all = Buffer.alloc(3 * CONSOLE_TYPED_WINDOW, 'abc');
  for (let at = 0; at < all.length; at += 1_000) client.socket.send(all.subarray(at, at + 1_000));
  await until(async () => Buffer.concat(typed()).length === CONSOLE_TYPED_WINDOW);
  for (let took = 0; took < all.length;) {
    const sent = Buffer.concat(typed()).length;
    expect(sent - took).toBeLessThanOrEqual(CONSOLE_TYPED_WINDOW);
    if (sent > took) agent.send({ type: 'console-took', session, bytes: sent - took });
    took = sent;
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(Buffer.concat(typed()).equals(all)).toBe(true);

  const before = agent.frames.length;
  const piece = 'x'.repeat(8_192);
  for (let sent = 0; sent < CONSOLE_WINDOW; sent += piece.length) says(session, piece);
  await until(async () => client.text.length === CONSOLE_WINDOW);
  const passed = () => agent.frames.slice(before).reduce((n, f) => n + (f.type === 'console-passed' ? f.bytes : 0), 0);
  await until(async () => passed() === CONSOLE_WINDOW);

  const gone = { code: 'console.moved', message: 'it runs on h2 now' };
  agent.send({ type: 'console-closed', session, cause: gone });
  expect(await client.word('closed')).toEqual({ type: 'closed', ...gone });
  await until(async () => (await audited()).at(-1)?.['code'] === 'console.moved');
});

test('a log and a picture come as one answer, and a refusal of the host as a problem; none of it is a console', async () => {
  const recorded = (await audited()).length;
  const token = await tokenOf(['operator']);
  const get = (path: string): Promise<Response> =>
    fetch(`${gateway.url}/v1/vms/${vmId}/${path}`, { headers: { authorization: `Bearer ${token}` } });
  const log = get('console-log?lines=2');
  const { session, what } = await opening();
  expect(what).toBe('log');
  agent.send({ type: 'console-opened', session, writer: false });
  says(session, 'one\ntwo\n');
  says(session, 'three\xff\n');
  agent.send({ type: 'console-closed', session });
  expect(await (await log).json()).toEqual({ vmId, hostId: 'h1', text: 'two\nthreeÿ\n', bytes: 12 });
  const picture = get('screen');
  const second = (await opening()).session;
  const cause = { code: 'hypervisor.no_display', message: 'The image asks for none' };
  agent.send({ type: 'console-closed', session: second, cause });
  expect([(await picture).status, await (await picture).json()]).toMatchObject([409, { code: 'hypervisor.no_display' }]);
  expect(await (await get('console')).json()).toMatchObject({ status: 426, code: 'console.upgrade_required' });
  expect((await audited()).length).toBe(recorded);
});

test('a token that is over, an agent that goes and a gateway that was killed each end a console with their code', async () => {
  const short = await open('', ['operator'], '2s');
  agent.send({ type: 'console-opened', session: (await opening()).session, writer: false });
  expect(await short.word('closed')).toMatchObject({ code: 'console.token_over' });

  const client = await open('');
  agent.send({ type: 'console-opened', session: (await opening()).session, writer: false });
  await client.word('opened');
  agent.close();
  expect(await client.word('closed')).toMatchObject({ code: 'console.host_away' });
  await until(async () => (await audited()).at(-1)?.['code'] === 'console.host_away');

  // As one that was killed leaves it: the row that was kept with the event, and no end.
  await gateway.service.pool.query(`insert into agent_gateway.open_consoles values ('console-lost', '9', $1, 'h1', 'user:x', 'acme')`, [
    vmId,
  ]);
  const { ConsoleAudit } = await import('./audit.ts');
  const ninth = new ConsoleAudit({ ...gateway.service, config: { ...gateway.service.config, instance: '9' } });
  for (const _ of [1, 2]) await ninth.closeLeftOver();
  expect((await audited()).filter((e) => e['session'] === 'console-lost')).toEqual([
    { type: 'closed', vmId, hostId: 'h1', session: 'console-lost', code: 'console.gateway_lost', readBytes: 0, typedBytes: 0 },
  ]);
});
