import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { memoryMiBOf, vcpusOf } from '@chrysalis/contracts';
import { facts, large, small } from '@chrysalis/migration-templates-core/testing';
import { openFleet } from './test/fleet.ts';
import type { Migration } from './test/reads.ts';

// A whole move through the four services as they are. Only hosts and guests are a model: what they do is shown on real QEMU elsewhere.

let fleet: Awaited<ReturnType<typeof openFleet>>;
let vmId: string;

beforeAll(async () => {
  fleet = await openFleet([facts('h1'), facts('h2')]);
  await fleet.until(async () => (await fleet.reads.hosts()) === 2);
  for (const [name, spec] of Object.entries({ small, large })) await fleet.call('provisioning', 'POST', '/v1/vm-types', { name, spec });
  await fleet.call('provisioning', 'POST', '/v1/images', {
    image: { name: 'linux', version: 1, digest: `sha256:${'a'.repeat(64)}`, cmdline: 'quiet' },
  });
  ({ vmId } = await fleet.call<{ vmId: string }>('provisioning', 'POST', '/v1/vms', {
    name: 'butterfly',
    type: 'small@1',
    image: 'linux@1',
    host: 'h1',
  }));
  await fleet.until(async () => (await vm()).status === 'running');
  await fleet.grant('g1', [vmId]);
});
afterAll(() => fleet?.close());

const vm = () => fleet.reads.vm(vmId);
const holds = () => fleet.reads.holds();
const migrate = async (template: string): Promise<Migration> => {
  const plan = await fleet.call<{ planId: string; ready: boolean; moves: { blockers: unknown[] }[] }>(
    'migration-templates',
    'POST',
    '/v1/migration-plans',
    { template, vmIds: [vmId] },
  );
  expect(plan.moves[0]!.blockers).toEqual([]);
  const { migrationId } = await fleet.call<{ migrationId: string }>('migration-templates', 'POST', '/v1/migrations', {
    planId: plan.planId,
  });
  return fleet.until(async () => {
    const migration = await look(migrationId);
    return migration.state !== 'running' && migration;
  });
};
const look = (id: string) => fleet.reads.migration(id);
const template = async (name: string, optionId: string): Promise<string> => {
  const { queryId } = await fleet.call<{ queryId: string }>('migration-templates', 'POST', '/v1/migration-options-queries', {
    vmIds: [vmId],
    grantId: 'g1',
  });
  await fleet.until(async () => (await fleet.reads.query(queryId)).state === 'answered');
  const script = { kind: 'guest-script', script: 'echo ${HOME}', undo: 'echo back', timeoutMs: 5000 };
  const body = {
    name,
    fromOption: { queryId, optionId },
    preMigration: [{ ...script, name: 'quiesce' }],
    postMigration: [{ ...script, name: 'announce' }],
  };
  return (await fleet.call<{ ref: string }>('migration-templates', 'POST', '/v1/migration-templates', body)).ref;
};

test.each(['quiesce', 'unplug-extra', 'prepare-target', 'transfer'])(
  '%s fails: undone, on its source with its old type, nothing held',
  async (step) => {
    const before = fleet.hardware(vmId);
    fleet.fail.set(step, `injected.${step}`);
    const migration = await migrate(await template('grow', 'large@1/move/pre-copy/expose'));
    fleet.fail.clear();
    expect(migration).toMatchObject({ state: 'undone', cause: { code: `injected.${step}` } });
    expect(await vm()).toMatchObject({ host: 'h1', type: 'small@1', epoch: 1 });
    expect((await holds()).map((h) => [h.host, h.consumer])).toEqual([['h1', `vm:${vmId}`]]);
    expect({ ...fleet.hardware(vmId), serialPorts: [] }).toEqual({ ...before, serialPorts: [] });
  },
);

test('small on h1 to large on h2: a step that fails behind the switch-over stops it; repaired, the migration ends with its move', async () => {
  fleet.fail.set('announce', 'injected.announce');
  const stopped = await migrate(await template('grow', 'large@1/move/pre-copy/expose'));
  expect(stopped).toMatchObject({ state: 'failed', cause: { code: 'injected.announce' }, moves: [{ state: 'failed' }] });
  const { moveId } = stopped.moves[0]!;
  const steps = (m: Migration) => new Map(m.moves[0]!.steps.map((s) => [s.name, s.state]));
  expect([steps(stopped).get('announce'), steps(stopped).get('end-move')]).toEqual(['failed', 'skipped']);
  const workflow = await fleet.call<{ state: string; failed: string[]; missing: string[] }>('workflow', 'GET', `/v1/workflows/${moveId}`);
  expect(workflow).toMatchObject({ state: 'stopped', failed: ['announce'] });
  expect(workflow.missing).toContain('end-move');

  const change = (body: object) => fleet.call('workflow', 'POST', `/v1/workflows/${moveId}/changes`, { change: body, reason: 'mended' });
  await change({ type: 'retry-from', task: 'announce' }); // it is not mended yet
  const again = async () => (await fleet.pool.query(`select from migration_templates.events where type like '%.migration.ended.v1' and data ->> 'migrationId' = $1`, [stopped.migrationId])).rowCount === 2; // prettier-ignore
  await fleet.until(again);
  expect(await look(stopped.migrationId)).toMatchObject({ state: 'failed' });

  fleet.fail.clear();
  await change({ type: 'retry-from', task: 'announce' });
  const migration = await fleet.until(async () => {
    const seen = await look(stopped.migrationId);
    return seen.state === 'succeeded' && seen;
  });
  expect(migration.cause).toBeUndefined();
  expect(migration).toMatchObject({
    state: 'succeeded',
    moves: [{ state: 'succeeded', figures: { downtimeMs: 12, totalMs: 340, transferredBytes: 1_000_000 } }],
  });
  expect(migration.moves[0]!.steps.every((s) => s.state === 'done')).toBe(true);
  expect(await vm()).toMatchObject({ host: 'h2', type: 'large@1', epoch: 10 }); // four undone moves spent the epochs up to 9
  expect((await holds()).map((h) => [h.host, h.consumer])).toEqual([['h2', `vm:${vmId}`]]);
  const t = fleet.hardware(vmId);
  expect([vcpusOf(t), memoryMiBOf(t), t.disks[0]!.sizeMiB, t.nics.length]).toEqual([2, 1024, 512, 1]);
});

test('and further, in place: a morph holds the difference, and swaps it', async () => {
  const huge = { ...large, vcpus: { now: 4, max: 4 }, memoryMiB: { now: 2048, max: 4096 } };
  await fleet.call('provisioning', 'POST', '/v1/vm-types', { name: 'huge', spec: huge });
  const migration = await migrate(await template('more', 'huge@1/morph/expose'));
  expect(migration.cause).toBeUndefined();
  expect(migration.state).toBe('succeeded');
  expect(await vm()).toMatchObject({ host: 'h2', type: 'huge@1', epoch: 10 });
  expect(await holds()).toMatchObject([{ host: 'h2', consumer: `vm:${vmId}`, vcpu: 4, memoryMiB: 2048, diskMiB: 512 }]);
  expect(vcpusOf(fleet.hardware(vmId))).toBe(4);
});
