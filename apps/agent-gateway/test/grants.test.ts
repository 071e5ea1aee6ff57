import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { guestTasks, hostTasks, type TaskReport } from '@chrysalis/contracts';
import { until } from '@chrysalis/testing';
import { claims, digest, dispatch, publish, sign, TestAgent, tenantKey, world, type Gateway, type Tenant, type World } from './harness.ts';

describe('grants', () => {
  let w: World;
  let gateway: Gateway;
  let acme: Tenant;
  let other: Tenant;
  let admin: string;
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
  }, 60_000);
  afterAll(async () => {
    agent.close();
    await w.stop();
  }, 30_000);

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
    const count = async () => (await gateway.service.pool.query('select count(*) from agent_gateway.events')).rows[0].count as string;
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

  test("a VM of another tenant can't be granted by us, once the gateway knows whose it is", async () => {
    await gateway.service.pool.query(`insert into agent_gateway.vm_tenants values ('vm-theirs', 'other')`);
    expect(await register(await sign(acme, claims({ vms: ['vm-theirs'] })))).toMatchObject({
      status: 403,
      body: { code: 'grant.foreign_tenant' },
    });
  });
});
