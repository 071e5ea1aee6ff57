import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { guestTasks, hostTasks, type TaskReport } from '@chrysalis/contracts';
import { until } from '@chrysalis/testing';
import { Identity } from '../../../host-agent/src/identity.ts';
import {
  claims,
  digest,
  dispatch,
  hello,
  publish,
  sign,
  TestAgent,
  tenantKey,
  world,
  type Gateway,
  type Tenant,
  type World,
} from '../test/harness.ts';

describe('grants', () => {
  let w: World;
  let gateway: Gateway;
  let acme: Tenant;
  let other: Tenant;
  let admin: string;
  let dir: string;
  let agent: TestAgent;
  const register = (jws: string, token = admin) => w.api(gateway, token, 'POST', '/v1/grants', { jws });
  const eventsOf = async (jti: unknown): Promise<string[]> =>
    (await w.events(gateway, `grant-${String(jti)}`)).map((e) => e.type.split('.')[3]!);
  /** What became of a task: the code of its refusal, or `delivered`. */
  const fate = async (kind: string, input: Record<string, unknown>, more: object = {}): Promise<string> => {
    const task = dispatch({ kind, executor: 'host:h1', input: { epoch: 1, ...input }, ...more });
    await publish(gateway, task);
    return until(async () => {
      if (agent.frames.some((f) => f.type === 'task' && f.dispatch.workflowId === task.workflowId)) return 'delivered';
      const [report] = await w.events(gateway, `task-${task.workflowId}`);
      const outcome = (report?.data as unknown as TaskReport | undefined)?.outcome;
      return outcome && !outcome.ok && outcome.cause.code;
    });
  };

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'chrysalis-grants-'));
    w = await world();
    gateway = await w.start();
    [acme, other] = await Promise.all([tenantKey('acme-1'), tenantKey('other-1')]);
    admin = await w.token('ann', 'admin');
    await w.api(gateway, admin, 'POST', '/v1/tenant-keys', { tenant: 'acme', kid: acme.kid, publicKeyJwk: acme.jwk });
    await w.api(gateway, await w.token('olga', 'admin', 'other'), 'POST', '/v1/tenant-keys', {
      tenant: 'other',
      kid: other.kid,
      publicKeyJwk: other.jwk,
    });
    agent = await TestAgent.of(gateway, 'h1', await w.token('host:h1', 'host-agent'));
  });
  afterAll(async () => {
    agent.close();
    await w.stop();
    await rm(dir, { recursive: true, force: true });
  });

  test('a key is trusted once for ever, and only by its tenant', async () => {
    const trust = (token: string, body: object) => w.api(gateway, token, 'POST', '/v1/tenant-keys', body);
    expect(await trust(admin, { tenant: 'acme', kid: acme.kid, publicKeyJwk: acme.jwk })).toMatchObject({ status: 201 });
    expect(await trust(admin, { tenant: 'acme', kid: acme.kid, publicKeyJwk: other.jwk })).toMatchObject({
      status: 409,
      body: { code: 'tenant-key.conflict' },
    });
    expect(await trust(admin, { tenant: 'other', kid: 'x', publicKeyJwk: acme.jwk })).toMatchObject({
      status: 403,
      body: { code: 'tenant-key.foreign_tenant' },
    });
    expect(await trust(await w.token('op', 'operator'), { tenant: 'acme', kid: 'x', publicKeyJwk: acme.jwk })).toMatchObject({
      status: 403,
    });
    expect(await trust(admin, { tenant: 'acme', kid: 'x', publicKeyJwk: { ...acme.jwk, d: 'private' } })).toMatchObject({ status: 422 });
  });

  test('a good grant is registered; the same again is the same answer, another of its id a conflict', async () => {
    const said = claims();
    const first = await register(await sign(acme, said));
    expect(first).toMatchObject({ status: 201, body: { grantId: said['jti'], tenant: 'acme', vms: ['vm-1'] } });
    expect(await register(await sign(acme, said))).toEqual(first);
    expect(await register(await sign(acme, { ...said, uses: 99 }))).toMatchObject({ status: 409, body: { code: 'grant.conflict' } });
    expect(await eventsOf(said['jti'])).toEqual(['registered']);
  });

  const attacks: [string, () => Promise<string>, string][] = [
    ['expired', () => sign(acme, claims({ iat: 1_000, exp: 2_000 })), 'grant.expired'],
    ['signed by a key nobody trusts', async () => sign(await tenantKey('nobody'), claims()), 'grant.key_unknown'],
    ["signed by another key under a trusted key's id", async () => sign({ ...(await tenantKey('x')), kid: acme.kid }, claims()), 'grant.signature_invalid'],
    ["of another tenant's key", () => sign(other, claims()), 'grant.foreign_tenant'],
    ["for a tenant that is not the caller's", () => sign(other, claims({ iss: 'other' })), 'grant.foreign_tenant'],
    ['with claims that are not there', () => sign(acme, { jti: 'x' }), 'grant.malformed'],
    ['that ends before it begins', () => sign(acme, claims({ exp: 1 })), 'grant.malformed'],
    ['made in the future', () => sign(acme, claims({ iat: Math.floor(Date.now() / 1000) + 300 })), 'grant.malformed'],
    ['not a JWS', async () => 'rubbish', 'grant.malformed'],
    ['with alg none', async () => `${Buffer.from('{"alg":"none","kid":"acme-1"}').toString('base64url')}.${Buffer.from(JSON.stringify(claims())).toString('base64url')}.`, 'grant.malformed'],
    ['with other claims under the signature', async () => {
      const [header, , signature] = (await sign(acme, claims())).split('.');
      return `${header}.${Buffer.from(JSON.stringify(claims({ uses: 1000 }))).toString('base64url')}.${signature}`;
    }, 'grant.signature_invalid'],
  ]; // prettier-ignore
  test.each(attacks)('a grant %s is refused, and nothing is recorded', async (_, made, code) => {
    const count = async () =>
      (await gateway.service.pool.query(`select count(*) from agent_gateway.events where stream_id not like 'host-agent-%'`)).rows[0]
        .count as string;
    const before = await count();
    const { status, body } = await register(await made());
    expect(body['code']).toBe(code);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(await count()).toBe(before);
  });

  test('a task goes into a guest only under a grant that names VM, action and package, and as often as it says', async () => {
    const vmId = 'vm-uses';
    expect(await fate(guestTasks.facts.kind, { vmId })).toBe('grant.unknown');
    const said = claims({ vms: [vmId], uses: 2 });
    const jws = await sign(acme, said);
    await register(jws);
    const add = (change: object = {}) => fate(hostTasks.addAgent.kind, { vmId, grant: jws, package: digest('a'), ...change });
    expect(await add({ package: digest('f') })).toBe('grant.package_not_named');
    expect(await fate(hostTasks.addAgent.kind, { vmId: 'vm-2', grant: jws, package: digest('a') })).toBe('grant.vm_not_named');
    expect(await add({ grant: await sign(acme, { ...said, jti: 'never-seen' }) })).toBe('grant.unknown');
    expect(await add({ grant: await sign(acme, { ...said, uses: 1000 }) })).toBe('grant.signature_invalid');
    expect(await fate(guestTasks.runScript.kind, { vmId })).toBe('grant.action_not_named');
    expect(await fate(guestTasks.facts.kind, { vmId }, { tenant: 'other' })).toBe('grant.foreign_tenant');
    expect(await fate('guest.anything', { vmId })).toBe('grant.action_not_named');
    expect(await eventsOf(said['jti'])).toEqual(['registered']);

    expect(await add()).toBe('delivered');
    const looked = dispatch({ kind: guestTasks.facts.kind, executor: 'host:h1', input: { vmId, epoch: 1 } });
    for (let i = 0; i < 3; i++) await publish(gateway, looked); // one task, however often it is said
    const { grant } = await until(
      async () => agent.frames.find((f) => f.type === 'task' && f.dispatch.workflowId === looked.workflowId) as { grant?: string },
    );
    expect(grant).toBe(jws);
    expect(await eventsOf(said['jti'])).toEqual(['registered', 'used', 'used']);
    expect(await fate(guestTasks.facts.kind, { vmId })).toBe('grant.exhausted');
    // What undoes is never locked in, and taking the agent out needs no grant.
    expect(await fate(guestTasks.facts.kind, { vmId }, { action: 'compensate' })).toBe('delivered');
    expect(await fate(hostTasks.removeAgent.kind, { vmId })).toBe('delivered');
    expect(await eventsOf(said['jti'])).toEqual(['registered', 'used', 'used']);
  });

  test('a revoked grant allows nothing; of another tenant it is not to be seen', async () => {
    const said = claims({ vms: ['vm-rev'] });
    await register(await sign(acme, said));
    const path = `/v1/grants/${String(said['jti'])}`;
    expect(await w.api(gateway, await w.token('eve', 'operator', 'other'), 'DELETE', path)).toMatchObject({
      status: 404,
      body: { code: 'grant.unknown' },
    });
    expect(await fate(guestTasks.facts.kind, { vmId: 'vm-rev' })).toBe('delivered');
    expect(await w.api(gateway, admin, 'DELETE', path)).toMatchObject({ status: 200 });
    expect(await w.api(gateway, admin, 'DELETE', path)).toMatchObject({ status: 200 });
    expect(await fate(guestTasks.facts.kind, { vmId: 'vm-rev' })).toBe('grant.revoked');
  });

  test('what waits under a grant when it is revoked never reaches its host; what was sent is stopped, and its host says what became of it', async () => {
    const said = claims({ vms: ['vm-wait'], uses: 100 });
    await register(await sign(acme, said));
    const waits = (task: string) =>
      dispatch({ kind: guestTasks.facts.kind, task, executor: 'host:h9', input: { vmId: 'vm-wait', epoch: 1 } });
    const [sent, unsent] = [waits('sent'), waits('unsent')];
    const connect = async (): Promise<TestAgent> => {
      const token = await w.token('host:h9', 'host-agent');
      const identity = new Identity(join(dir, 'h9'));
      await identity.ready();
      const at = await TestAgent.open(gateway.agentsUrl);
      at.send({ ...hello('h9', token), protocol: { min: 1, max: 3 }, identity: identity.prove('h9', at.nonce) });
      await at.next('welcome');
      return at;
    };
    const h9 = await connect();
    await publish(gateway, sent);
    await h9.next('task');
    h9.close();
    await publish(gateway, unsent); // its host is away
    const kept = `select from agent_gateway.granted_tasks where task_key like $1`;
    await until(async () => (await gateway.service.pool.query(kept, [`${unsent.workflowId}/%`])).rowCount === 1);
    expect(await w.api(gateway, admin, 'DELETE', `/v1/grants/${String(said['jti'])}`)).toMatchObject({ status: 200 });
    expect(await w.events(gateway, `task-${unsent.workflowId}`)).toMatchObject([
      { data: { outcome: { ok: false, cause: { code: 'grant.revoked' } } } },
    ]);
    expect(await w.events(gateway, `task-${sent.workflowId}`)).toEqual([]);
    const back = await connect();
    const asked = await back.next('task');
    expect(asked).toMatchObject({ revoked: true, dispatch: { workflowId: sent.workflowId } });
    expect(asked).not.toHaveProperty('grant');
    await publish(gateway, dispatch({ kind: hostTasks.removeAgent.kind, executor: 'host:h9', input: { vmId: 'vm-wait', epoch: 1 } }));
    await back.next('task', 2); // whatever else waited would have come before
    expect(back.frames.filter((f) => f.type === 'task').map((f) => f.dispatch.workflowId)).not.toContain(unsent.workflowId);
    back.close();
  });

  test('a revocation at the moment of admission: each task is either refused, or fails, or was sent before', async () => {
    for (let round = 0; round < 5; round++) {
      const vmId = `vm-race-${round}`;
      const said = claims({ vms: [vmId], uses: 100 });
      await register(await sign(acme, said));
      const tasks = Array.from({ length: 10 }, () =>
        dispatch({ kind: guestTasks.facts.kind, executor: 'host:away', input: { vmId, epoch: 1 } }),
      );
      const published = Promise.all(tasks.map((t) => publish(gateway, t)));
      await w.api(gateway, admin, 'DELETE', `/v1/grants/${String(said['jti'])}`);
      await published;
      // Nobody is connected: all of them end as revoked, and none stays behind to be sent later.
      for (const { workflowId } of tasks)
        await until(async () => {
          const [report] = await w.events(gateway, `task-${workflowId}`);
          return (report?.data as unknown as TaskReport | undefined)?.outcome.ok === false;
        });
    }
    const left = `select from agent_gateway.pending_tasks where host_id = 'away' and state = 'pending'`;
    expect((await gateway.service.pool.query(left)).rowCount).toBe(0);
  });

  test("a VM of another tenant can't be granted by us, once the gateway knows whose it is", async () => {
    await gateway.service.pool.query(`insert into agent_gateway.vm_tenants values ('vm-theirs', 'other')`);
    expect(await register(await sign(acme, claims({ vms: ['vm-theirs'] })))).toMatchObject({
      status: 403,
      body: { code: 'grant.foreign_tenant' },
    });
  });
});
