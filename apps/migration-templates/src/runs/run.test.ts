import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { RunResult, WorkflowRequest } from '@chrysalis/contracts';
import { facts, largeType, smallType, vm } from '@chrysalis/migration-templates-core/testing';
import { openWorld, type World } from '../test/world.ts';

let world: World;
const vms = [vm({ vmId: 'vm-a' }), vm({ vmId: 'vm-b' }), vm({ vmId: 'vm-z', tenant: 'other' })];
beforeAll(async () => {
  world = await openWorld();
  await world.type(smallType);
  await world.type(largeType);
  for (const host of ['h1', 'h2', 'h3']) await world.host(facts(host));
  for (const x of vms) await world.vm(x);
  await world.until(async () => (await world.service.service.pool.query('select from migration_templates.known_vms')).rowCount === 3);
});
afterAll(() => world.close());

type Report = { attempt: number; outcome: { ok: boolean; output: { total: number; succeeded: number; results: RunResult[] } } };
const reports = async (workflowId: string): Promise<Report[]> => (await world.stream(`task-${workflowId}`)).map((e) => e.data as Report);
const report = (workflowId: string): Promise<Report> => world.until(async () => (await reports(workflowId))[0]);
const short = ({ outcome }: Report) => outcome.output.results.map((r) => `${r.vmId} ${r.state}`);
const give = (workflowId: string, input: object, more: { tenant?: string; attempt?: number } = {}) =>
  world.give(workflowId, 'move', 'migration.run', { concurrency: 1, ...input }, more);

/** Every move that runs began with, in order. */
const begun = async (): Promise<{ moveId: string; vmId: string; tenant: string; request: WorkflowRequest }[]> => {
  const { rows } = await world.service.service.pool.query<{ data: never; tenant: string }>(
    `select data, meta->>'tenant' as tenant from migration_templates.events where type like '%.move.started.v1' order by global_position`,
  );
  return rows.map((r) => ({ ...(r.data as object), tenant: r.tenant }) as never);
};
const nth = (n: number) => world.until(async () => (await begun())[n]);

describe('a run of a migration over a set of VMs', () => {
  test('who cannot go is named, one that fails does not hold up the others, and the report has each', async () => {
    await give('op-1', { vmIds: ['vm-a', 'vm-b', 'vm-z', 'vm-ghost'], notHost: 'h1' });
    const first = await nth(0);
    expect(first).toMatchObject({ vmId: 'vm-a', tenant: 'acme' });
    await world.ran(first.request, { state: 'undone', failing: 'transfer', cause: { code: 'host.link_lost', message: 'cut' } });
    const second = await nth(1);
    expect(second.vmId).toBe('vm-b');
    expect(await reports('op-1')).toEqual([]);
    await world.ran(second.request, { state: 'succeeded' });
    const told = await report('op-1');
    expect(short(told)).toEqual(['vm-a undone', 'vm-b succeeded', 'vm-z blocked', 'vm-ghost blocked']);
    expect(told.outcome).toMatchObject({
      ok: true,
      output: {
        total: 4,
        succeeded: 1,
        results: [{ cause: { code: 'host.link_lost' } }, { toHost: 'h2' }, { blockers: [{ code: 'vm.unknown' }] }, {}],
      },
    });
    const [template] = (await world.reads.templates()).filter((t) => t.ref.startsWith('relocate-small-1@'));
    expect(template).toMatchObject({
      ref: 'relocate-small-1@1',
      spec: { sourceType: smallType.ref, options: { targetType: smallType.ref } },
    });
  });

  test("the fleet's own moves every tenant's, each in its tenant's name; another attempt takes over, and nothing begins twice", async () => {
    await give('op-2', { vmIds: ['vm-z', 'vm-a'], notHost: 'h1' }, { tenant: '*' });
    const first = await nth(2);
    expect(first).toMatchObject({ vmId: 'vm-z', tenant: 'other' });
    await world.restart();
    await give('op-2', { vmIds: ['vm-z', 'vm-a'], notHost: 'h1' }, { tenant: '*', attempt: 2 });
    await world.until(async () => {
      const { rows } = await world.service.service.pool.query(
        `select dispatch->'attempt' as n from migration_templates.runs where run_id = 'op-2/move'`,
      );
      return rows[0]?.n === 2;
    });
    await world.ran(first.request, { state: 'succeeded' });
    await world.ran(first.request, { state: 'succeeded' }); // told twice
    const second = await nth(3);
    expect(second).toMatchObject({ vmId: 'vm-a', tenant: 'acme' });
    await world.ran(second.request, { state: 'succeeded' });
    const told = await report('op-2');
    expect([told.attempt, short(told)]).toEqual([2, ['vm-z succeeded', 'vm-a succeeded']]);
    await give('op-2', { vmIds: ['vm-z', 'vm-a'], notHost: 'h1' }, { tenant: '*', attempt: 3 });
    const again = await world.until(async () => (await reports('op-2'))[1]);
    expect([again.attempt, again.outcome]).toEqual([3, told.outcome]);
    expect(await begun()).toHaveLength(4);
    const theirs = `select from migration_templates.migrations where tenant = 'other'`;
    expect((await world.service.service.pool.query(theirs)).rowCount).toBe(1);
  });

  test('what needs nothing, what is blocked and what has no template end at once', async () => {
    await give('op-3', { vmIds: [] });
    expect((await report('op-3')).outcome).toEqual({ ok: true, output: { total: 0, succeeded: 0, results: [] } });
    await give('op-4', { vmIds: ['vm-a', 'vm-b'], notHost: 'h9' });
    expect(short(await report('op-4'))).toEqual(['vm-a unneeded', 'vm-b unneeded']);
    await give('op-5', { vmIds: ['vm-a'], template: 'ghost@1' });
    expect((await report('op-5')).outcome.output.results[0]!.blockers).toMatchObject([{ code: 'template.unknown' }]);
    await give('op-6', { vmIds: ['vm-a', 'vm-b'], toType: 'large@1' }); // no agent says what the guests can do
    const told = await report('op-6');
    expect(short(told)).toEqual(['vm-a blocked', 'vm-b blocked']);
    expect(told.outcome.output.results[0]!.blockers!.map((b) => b.code)).toContain('option.capability_unknown');
    expect(await begun()).toHaveLength(4);
  });

  test('too many failures, or somebody who cancels, and the rest is not begun', async () => {
    await give('op-7', { vmIds: ['vm-a', 'vm-b'], notHost: 'h1', maxFailures: 1 });
    await world.ran((await nth(4)).request, { state: 'undone', failing: 'transfer', cause: { code: 'x.y', message: 'no' } });
    const failed = await report('op-7');
    expect([short(failed), failed.outcome.output.results[1]!.cause?.code]).toEqual([
      ['vm-a undone', 'vm-b not-begun'],
      'migration.too_many_failures',
    ]);
    await give('op-8', { vmIds: ['vm-a', 'vm-b'], notHost: 'h1' });
    const { request, ...move } = await nth(5);
    const migrationId = (move as unknown as { migrationId: string }).migrationId;
    expect((await world.call('POST', `/v1/migrations/${migrationId}/cancel`, { reason: 'window closed' })).status).toBe(202);
    await world.ran(request, { state: 'succeeded' });
    const cancelled = await report('op-8');
    expect([short(cancelled), cancelled.outcome.output.results[1]!.cause]).toEqual([
      ['vm-a succeeded', 'vm-b not-begun'],
      { code: 'migration.cancelled', message: 'window closed' },
    ]);
  });
});
