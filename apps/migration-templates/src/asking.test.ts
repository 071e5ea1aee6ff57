import { performance } from 'node:perf_hooks';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { facts, found, largeType, smallType, vm } from '@chrysalis/migration-templates-core/testing';
import { openWorld, type World } from './test/world.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld();
  await world.type(smallType);
  await world.type(largeType);
  await world.host(facts('h1'));
  await world.host(facts('h2'));
  for (const vmId of ['vm-a', 'vm-b']) await world.vm(vm({ vmId }));
  await world.until(async () => (await world.call('POST', '/v1/migration-options-queries', { vmIds: ['vm-a', 'vm-b'] })).status === 202);
});
afterAll(() => world.close());

const timed = async <T>(work: Promise<T>): Promise<[T, number]> => {
  const began = performance.now();
  return [await work, performance.now() - began];
};
const many = (path: string, body: (i: number) => object) =>
  Promise.all(Array.from({ length: 24 }, (_, i) => world.call('POST', path, body(i))));

describe('more who ask for what is not known than there are connections', () => {
  test.each([
    ['options', '/v1/migration-options-queries', (i: number) => ({ vmIds: [`vm-none-${i}`] }), 'vm.unknown'],
    [
      'options under a grant',
      '/v1/migration-options-queries',
      (i: number) => ({ vmIds: ['vm-a'], grantId: `grant-${i}` }),
      'grant.unknown',
    ],
    ['plans', '/v1/migration-plans', (i: number) => ({ to: 'small', vmIds: [`vm-none-${i}`] }), 'vm.unknown'],
    ['templates', '/v1/migration-templates', (i: number) => ({ name: `none-${i}`, spec: strangeSpec }), 'template.invalid'],
  ])('%s: they wait without one, and others have one meanwhile', async (_, path, body, code) => {
    expect(world.service.service.pool.options.max).toBeLessThan(24);
    const asked = timed(many(path, body));
    await world.until(async () => world.service.service.pool.totalCount > 1);
    const [, took] = await timed(world.reads.templates());
    const [answers, all] = await asked;
    expect(answers.map((a) => a.body['code'])).toEqual(answers.map(() => code));
    // Six at a time, each for 1.5 s, would take 6 s, and whoever came then had to wait for the first of them.
    expect(took).toBeLessThan(1_200);
    expect(all).toBeLessThan(5_000);
  });

  test('what is told of while they wait is found', async () => {
    const asked = world.call('POST', '/v1/migration-options-queries', { vmIds: ['vm-late'] });
    await world.vm(vm({ vmId: 'vm-late' }));
    expect((await asked).status).toBe(202);
  });

  test('a refusal that names what there is needs no second connection', async () => {
    const retired = await Promise.all(Array.from({ length: 24 }, (_, i) => world.call('DELETE', `/v1/migration-templates/none-${i}`)));
    expect(retired.map((a) => a.body['code'])).toEqual(retired.map(() => 'template.unknown'));
  });
});

describe('a plan by option', () => {
  const plan = (body: object, query = '') => world.call('POST', `/v1/migration-plans${query}`, body);
  const templates = async (): Promise<string[]> => (await world.reads.templates()).map((t) => t.ref);

  test('publishes its template once, under a name of its content', async () => {
    const first = await plan({ to: 'small', vmIds: ['vm-a'] });
    expect(first).toMatchObject({ status: 201, body: { ready: true } });
    const name = (first.body['basis'] as unknown as { template: { name: string } }).template.name;
    expect(name).toMatch(/^relocate-small-1-[0-9a-f]{8}$/);
    const again = await Promise.all(Array.from({ length: 8 }, () => plan({ option: 'small@1/move/pre-copy/expose', vmIds: ['vm-b'] })));
    expect(again.map((a) => (a.body['basis'] as unknown as { template: object }).template)).toEqual(
      again.map(() => ({ name, version: 1 })),
    );
    expect(await templates()).toEqual([`${name}@1`]);
    const { planId } = first.body as unknown as { planId: string };
    expect(await world.call('POST', '/v1/migrations', { planId })).toMatchObject({ status: 202 });
  });

  test('leaves nothing in a dry run, not even the template', async () => {
    await world.grant('grant-dry', ['vm-b']);
    const characterisation = found('vm-b');
    expect(await world.dispatch('qry-dry', 'record', 'template.record-characterisation', { vmId: 'vm-b', characterisation })).toMatchObject(
      { ok: true },
    );
    const before = [await world.events(), await templates()];
    const tried = await plan({ to: 'large', grantId: 'grant-dry', vmIds: ['vm-b'] }, '?dryRun=true');
    expect(tried).toMatchObject({ status: 200, body: { dryRun: true, moves: [{ vmId: 'vm-b', toType: { name: 'large' } }] } });
    expect([await world.events(), await templates()]).toEqual(before);
    const real = await plan({ to: 'large@1', grantId: 'grant-dry', vmIds: ['vm-b'] });
    const steps = (p: typeof real) => (p.body['moves'] as unknown as { steps: object[] }[]).map((m) => m.steps);
    expect(steps(tried)).toEqual(steps(real));
  });

  test('is refused with what rules its options out', async () => {
    const refused = await plan({ to: 'large', vmIds: ['vm-a'] });
    expect(refused).toMatchObject({ status: 409, body: { code: 'option.refused' } });
    expect(refused.body['detail']).toMatch(/no option to large is offered for these VMs; with a grant there may be more/);
    const reasons = refused.body['refused'] as unknown as { id: string; blockers: object[] }[];
    expect(reasons.length).toBeGreaterThan(0);
    expect(reasons.every((r) => r.id.startsWith('large@') && r.blockers.length > 0)).toBe(true);
    for (const to of ['nosuch', 'nosuch@1', 'large@7'])
      expect(await plan({ to, vmIds: ['vm-a'] })).toMatchObject({ status: 422, body: { code: 'vm-type.unknown' } });
    expect((await plan({ vmIds: ['vm-a'] })).body['code']).toBe('request.invalid');
    expect((await plan({ to: 'small', grantId: 'grant-none', vmIds: ['vm-a'] })).body['code']).toBe('grant.unknown');
  });
});
const strangeSpec = {
  sourceType: { name: 'strange', version: 1 },
  preMigration: [],
  hotUnplug: [],
  migration: [{ kind: 'live-migration', name: 'move' }],
  hotPlug: [],
  postMigration: [],
  options: {
    targetType: { name: 'strange', version: 2 },
    method: 'pre-copy',
    newResources: 'expose',
    augmentation: [],
    emulateIncompatible: false,
    downtimeLimitMs: 100,
    maxBandwidthMiBps: 100,
  },
};
