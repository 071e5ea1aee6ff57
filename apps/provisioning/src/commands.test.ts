import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { commandContracts, commandsTopic, eventsTopic, provisioningCommands, type CommandAnswer } from '@chrysalis/contracts';
import { commandsOf } from '@chrysalis/service-kit';
import fc from 'fast-check';
import { controllers } from './http/controllers.ts';
import { Commander } from './test/commander.ts';
import { Harness, image, spec } from './test/harness.ts';

const commands = commandsOf(controllers);
const { createVm, publishVmType, deleteVm } = provisioningCommands;
type Told = { readonly params?: Record<string, string>; readonly body?: unknown };

let h: Harness;
let olga: Commander;
let token: string;
let names = 0;
const newName = (): string => `n-${++names}`;
const newSubnet = (): string => `10.7.${++names}.0/24`;
const newVm = { type: 'small', image: 'linux' };

beforeAll(async () => {
  h = await Harness.start();
  olga = await Commander.of(h);
  token = await h.token(['operator', 'fleet']);
  await h.http('POST', '/v1/vm-types', { name: 'small', spec });
  await h.http('POST', '/v1/images', { image });
});
afterAll(() => h?.stop());

const events = async (): Promise<number> =>
  Number((await h.running.service.pool.query('select count(*) from provisioning.events')).rows[0].count);
const became = async (outcome: string): Promise<number> => {
  const text = await h.running.service.metrics.getSingleMetricAsString('chrysalis_commands_total');
  return Number(new RegExp(`outcome="${outcome}".* (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
};

/** What each command may be told, of things made for it. */
const onVm = (body?: unknown) => async (): Promise<Told> => ({ params: { id: (await h.runningVm(newName())).id }, body });
const told: Readonly<Record<string, () => Promise<Told>>> = {
  'vm-type.publish': () => Promise.resolve({ body: { name: newName(), spec } }),
  'vm-type.deprecate': async () => {
    const name = newName();
    await h.http('POST', '/v1/vm-types', { name, spec });
    return { params: { name, version: '1' }, body: { reason: 'old' } };
  },
  'image.register': () => Promise.resolve({ body: { image: { ...image, name: newName() } } }),
  'image.delete': async () => {
    const name = newName();
    await h.http('POST', '/v1/images', { image: { ...image, name } });
    return { params: { name, version: '1' } };
  },
  'vm.create': () => Promise.resolve({ body: { name: newName(), ...newVm } }),
  'vm.change': onVm({ restart: 'always' }),
  'vm.delete': onVm(),
  'vm.set-filter': async () => {
    const { networkId } = await h.network(newSubnet());
    return { params: { id: (await h.runningVm(newName(), [{ network: networkId }])).id }, body: { allow: [{ protocol: 'icmp' }] } };
  },
  'vm.attach-nic': async () => ({
    params: { id: (await h.runningVm(newName())).id },
    body: { network: (await h.network(newSubnet())).networkId },
  }),
  'vm.detach-nic': async () => {
    const { networkId } = await h.network(newSubnet());
    return { params: { id: (await h.runningVm(newName(), [{ network: networkId }])).id, network: networkId } };
  },
  'network.create': () => Promise.resolve({ body: { name: newName(), subnet: newSubnet() } }),
  'network.delete': async () => ({ params: { id: (await h.network(newSubnet())).networkId } }),
  'address.reserve': async () => ({ body: { network: (await h.network(newSubnet())).networkId } }),
  'address.bind': async () => {
    const { address, vm } = await h.reserved(newSubnet());
    return { params: { id: address.addressId }, body: { vm: vm.id } };
  },
  'address.unbind': async () => ({ params: { id: (await h.bound(newSubnet())).address.addressId }, body: {} }),
  'address.release': async () => ({ params: { id: (await h.reserved(newSubnet())).address.addressId } }),
  'volume.create': () => Promise.resolve({ body: { name: newName(), sizeMiB: 64 } }),
  'volume.attach': async () => ({
    params: { id: (await h.volume(newName())).volumeId },
    body: { vm: (await h.runningVm(newName())).id },
  }),
  'volume.detach': async () => ({ params: { id: (await h.attached(await h.runningVm(newName()))).volumeId }, body: {} }),
  'volume.grow': async () => ({ params: { id: (await h.volume(newName())).volumeId }, body: { sizeMiB: 128 } }),
  'volume.delete': async () => ({ params: { id: (await h.volume(newName())).volumeId } }),
  'vm.start': onVm(),
  'vm.stop': onVm({ force: true }),
  'vm.reboot': onVm({}),
  'vm.reset': onVm({}),
  'vm.pause': onVm(),
  'vm.resume': onVm(),
};
const typeOf = (name: string): string => `chrysalis.provisioning.${name}.v1`;

const byHttp = async (type: string, { params = {}, body }: Told, key: string): Promise<Pick<CommandAnswer, 'status' | 'body'>> => {
  const { route, contract } = commands.get(type)!;
  const path = route.path.replaceAll(/:(\w+)/g, (_, name: string) => ({ ...params, ...contract.fixed })[name]!);
  const { status, body: answer } = await h.http<unknown>(route.method, path, body, { headers: { 'idempotency-key': key } });
  return { status, body: answer };
};

describe('the same by both doors', () => {
  test('every command that is declared is taken, and tried here', () => {
    expect([...commands.keys()].sort()).toEqual([...commandContracts.keys()].sort());
    expect(Object.keys(told).map(typeOf).sort()).toEqual([...commandContracts.keys()].sort());
  });

  const doors = fc.array(fc.constantFrom('http', 'message'), { minLength: 2, maxLength: 4 }).filter((of) => of.includes('message'));
  test.each(Object.keys(told))(
    '%s: however often and by whichever door it comes under one key, one effect and one answer',
    async (name) => {
      const type = typeOf(name);
      await fc.assert(
        fc.asyncProperty(doors, async (order) => {
          const what = await told[name]!();
          const key = `key-${++names}`;
          let first: { answer: unknown; events: number } | undefined;
          for (const door of order) {
            const { status, body } =
              door === 'http' ? await byHttp(type, what, key) : await olga.call(type, { token, ...what }, { id: key, partitionkey: key });
            expect(status).toBeLessThan(300);
            expect(commandContracts.get(type)!.answer.safeParse(body).error).toBeUndefined();
            first ??= { answer: { status, body }, events: await events() };
            expect({ answer: { status, body }, events: await events() }).toEqual(first);
          }
        }),
        { numRuns: 3 },
      );
    },
  );

  test('the second answer says that it is one, what is appended says what caused it, and who', async () => {
    const id = await olga.send(createVm.type, { token, body: { name: newName(), ...newVm } }, { correlationid: 'c-1' });
    const first = await olga.answerTo(id);
    expect(first).toMatchObject({ correlationid: 'c-1', tenant: 'main', type: 'chrysalis.provisioning.command.answered.v1' });
    const { operation, vmId } = first.data.body as { operation: string; vmId: string };
    expect(first.data).toEqual({ status: 202, headers: { location: `/v1/operations/${operation}` }, body: { operation, vmId } });
    const [requested] = await h.running.service.store.read(vmId);
    expect(requested!.meta).toMatchObject({ causationId: id, correlationId: 'c-1', actor: 'user:olga', tenant: 'main' });
  });

  test('dry: the same checks, and nothing is left', async () => {
    const before = await events();
    const data = { token, dryRun: true, body: { name: newName(), ...newVm } };
    expect(await olga.call(createVm.type, data)).toMatchObject({ status: 200, body: { dryRun: true } });
    expect(await olga.call(createVm.type, { ...data, body: { ...data.body, type: 'huge' } })).toMatchObject({
      status: 422,
      problem: { code: 'vm-type.unknown' },
    });
    expect(await events()).toBe(before);
  });
});

describe('who may not, and what cannot be', () => {
  const create = () => ({ name: newName(), ...newVm });
  const HOUR = 3_600_000;
  const at = (ms: number): string => new Date(Date.now() + ms).toISOString();
  const deep = (levels: number): unknown => (levels === 0 ? [] : [deep(levels - 1)]);
  type Case = readonly [name: string, code: string, type: string, data: () => Promise<unknown>, unusual?: Record<string, unknown>];
  const of = (roles: Parameters<Harness['token']>[0], more = {}) => h.token(roles, more);
  const cases: readonly Case[] = [
    ['no token', 'command.malformed', createVm.type, async () => ({ body: create() })],
    ['a token of nobody', 'auth.required', createVm.type, async () => ({ token: 'eyJh.eyJz.c2ln', body: create() })],
    [
      'a token that is over',
      'auth.required',
      createVm.type,
      async () => ({ token: await of(['operator'], { expires: '-1 s' }), body: create() }),
    ],
    [
      'a token long over',
      'auth.required',
      createVm.type,
      async () => ({ token: await of(['operator'], { expires: '-2 days' }), body: create() }),
    ],
    ['a role too small', 'auth.denied', createVm.type, async () => ({ token: await of(['viewer']), body: create() })],
    [
      'what is the fleet’s',
      'auth.denied',
      publishVmType.type,
      async () => ({ token: await of(['operator']), body: { name: 'mine', spec } }),
    ],
    ['an unknown type', 'command.unknown', 'chrysalis.provisioning.vm.explode.v1', async () => ({ token, body: {} })],
    ['no type', 'command.unknown', '', async () => ({ token, body: {} })],
    ['text that is no JSON', 'command.malformed', createVm.type, async () => '{"token"'],
    ['nothing', 'command.malformed', createVm.type, async () => null],
    ['a member too many', 'command.malformed', createVm.type, async () => ({ token, body: create(), colour: 'red' })],
    ['another path', 'command.malformed', deleteVm.type, async () => ({ token, params: { id: 'x', action: 'stop' } })],
    ['no path', 'command.malformed', deleteVm.type, async () => ({ token })],
    ['a path of odd text', 'request.text_invalid', deleteVm.type, async () => ({ token, params: { id: '\ud800' } })],
    ['a path elsewhere', 'vm.unknown', deleteVm.type, async () => ({ token, params: { id: '../images?x=' } })],
    ['a body too large', 'request.too_large', createVm.type, async () => ({ token, body: { ...create(), name: 'x'.repeat(1 << 20) } })],
    ['a body too deep', 'request.too_deep', createVm.type, async () => ({ token, body: deep(2_000) })],
    ['a body of odd text', 'request.text_invalid', createVm.type, async () => ({ token, body: { ...create(), name: 'a\u0000b' } })],
    ['a body of another shape', 'request.invalid', createVm.type, async () => ({ token, body: [] })],
    [
      'an odd ETag',
      'request.malformed',
      deleteVm.type,
      async () => ({ token, params: { id: (await h.runningVm(newName())).id }, ifMatch: 'W/x' }),
    ],
    ['a time that is over', 'command.expired', createVm.type, async () => ({ token, body: create() }), { expirytime: at(-1) }],
    ['a time too far', 'command.malformed', createVm.type, async () => ({ token, body: create() }), { expirytime: at(2 * HOUR) }],
    ['no time', 'command.malformed', createVm.type, async () => ({ token, body: create() }), { expirytime: undefined }],
    ['another specification', 'command.malformed', createVm.type, async () => ({ token, body: create() }), { specversion: '0.3' }],
    ['an odd id', 'command.malformed', createVm.type, async () => ({ token, body: create() }), { id: 'ключ' }],
    ['an odd correlation', 'command.malformed', createVm.type, async () => ({ token, body: create() }), { correlationid: 'a\nb' }],
  ];
  test.each(cases)('%s: %s, and nothing is done', async (_, code, type, data, unusual = {}) => {
    const what = await data();
    const before = await events();
    const answer = await olga.call(type, what, { ...unusual, partitionkey: 'one' });
    expect(answer.problem?.code).toBe(code);
    expect(answer.status).toBe(answer.problem?.status);
    expect(answer.body).toBeUndefined();
    expect(await events()).toBe(before);
  });

  test('what belongs to another tenant: it hears that there is none, as by HTTP', async () => {
    const vm = await h.runningVm(newName());
    const other = await of(['operator'], { tenant: 'other' });
    expect((await olga.call(deleteVm.type, { token: other, params: { id: vm.id } })).problem?.code).toBe('vm.unknown');
    expect(await h.vm(vm.id)).toEqual(vm);
  });

  test('a key that another request had', async () => {
    const id = await olga.send(createVm.type, { token, body: create() });
    await olga.answerTo(id);
    expect((await olga.call(createVm.type, { token, body: create() }, { id })).problem?.code).toBe('idempotency.key_reused');
    const theirs = await of(['operator'], { tenant: 'other' });
    expect((await olga.call(createVm.type, { token: theirs, body: create() }, { id })).status).toBe(202);
  });

  test.each([
    ['no_reply_address', undefined],
    ['no_reply_address', 7],
    ['no_reply_address', eventsTopic('provisioning')],
    ['no_reply_address', commandsTopic],
    ['no_reply_address', 'chrysalis.replies.a.b'],
    ['no_reply_topic', 'chrysalis.replies.nobody'],
  ])('%s (%s): passed over and counted, and what is behind it is done', async (outcome, replyto) => {
    const [before, counted] = [await events(), await became(outcome)];
    await olga.send(createVm.type, { token, body: create() }, { replyto, partitionkey: 'one' });
    expect((await olga.call('', {}, { partitionkey: 'one' })).status).toBe(404);
    expect([await events(), await became(outcome)]).toEqual([before, counted + 1]);
  });
});

describe('what is left of a message', () => {
  test('of its token nothing but the message, and of that nothing after a sweep', async () => {
    await olga.call(createVm.type, { token, body: { name: newName(), ...newVm } });
    await olga.call(createVm.type, { token, body: { name: 'Bad!' }, [token]: 1, params: { [token]: 'x' } });
    const { pool, bus } = h.running.service;
    const { rows } = await pool.query<{ name: string }>(
      `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname in ('provisioning', 'bus')`,
    );
    const signature = `%${token.split('.')[2]}%`;
    const holds = async (name: string): Promise<number> =>
      Number((await h.database.pool().query(`select count(*) from ${name} t where t::text like $1`, [signature])).rows[0].count);
    for (const { name } of rows.filter((r) => r.name !== 'bus.messages')) expect([name, await holds(name)]).toEqual([name, 0]);
    const { rows: kept } = await pool.query<{ topic: string }>(`select distinct topic from bus.messages t where t::text like $1`, [
      signature,
    ]);
    expect(kept).toEqual([{ topic: commandsTopic }]);
    await h.eventually(async () => (await bus.forget(commandsTopic)) >= 0 && (await holds('bus.messages')) === 0);
    expect((await pool.query('select from provisioning.parked')).rows).toEqual([]);
  });
});
