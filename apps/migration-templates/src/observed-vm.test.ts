import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { everyShape, small, templateOf } from '@chrysalis/migration-templates-core/testing';
import { until } from '@chrysalis/testing';
import pg from 'pg';
import { verify } from '../../../tools/verifier/verify.ts';
import { openSimulatedFleet, type SimulatedFleet } from './test/simulated-fleet.ts';

type Plan = { planId: string; moves: { blockers: { code: string }[] }[] };
const type = { name: 'small', version: 1 };
const plain = everyShape.find((s) => s.move && !s.guest && !s.unplugs && s.grows.length + s.scripts.length === 0)!;

let fleet: SimulatedFleet;
beforeAll(async () => {
  fleet = await openSimulatedFleet(['h1', 'h2']);
  await fleet.call('provisioning', 'POST', '/v1/images', {
    image: { name: 'linux', version: 1, digest: `sha256:${'a'.repeat(64)}`, cmdline: 'quiet' },
  });
  await fleet.call('provisioning', 'POST', '/v1/vm-types', { name: 'small', spec: small });
  const spec = templateOf(plain, { from: type, to: type });
  await soon('/v1/migration-templates', { name: 'plain', spec });
});
afterAll(() => fleet?.close());

const soon = <T extends object>(path: string, body: object): Promise<T> =>
  until(() =>
    fleet.call<T>('migration-templates', 'POST', path, body).catch((e: Error) => (/unknown/.test(e.message) ? false : Promise.reject(e))),
  );
const vm = (vmId: string) => fleet.reads.vm(vmId);
const plan = (vmId: string): Promise<Plan> => soon<Plan>('/v1/migration-plans', { template: 'plain@1', vmIds: [vmId] });
const query = async <T extends object>(sql: string, values: unknown[] = []): Promise<T[]> => {
  const db = new pg.Client({ connectionString: fleet.databaseUrl });
  await db.connect();
  try {
    return (await db.query<T>(sql, values)).rows;
  } finally {
    await db.end();
  }
};
const observations = async (vmId: string): Promise<string[]> => {
  const sql = `select data->>'hostId' || ' ' || (data->'observed'->>'state') as what from agent_gateway.events where stream_id = $1 order by version`;
  return (await query<{ what: string }>(sql, [`observed-${vmId}`])).map((r) => r.what);
};

test('a VM is moved, powers itself off, is shown so, is not planned to move, and can be deleted', async () => {
  const { vmId } = await fleet.call<{ vmId: string }>('provisioning', 'POST', '/v1/vms', {
    name: 'web',
    type: 'small',
    image: 'linux',
    host: 'h1',
  });
  await until(async () => (await observations(vmId)).at(-1) === 'h1 running');

  const ready = await plan(vmId);
  expect(ready.moves[0]!.blockers).toEqual([]);
  const { migrationId } = await soon<{ migrationId: string }>('/v1/migrations', { planId: ready.planId });
  await until(async () => {
    return (await fleet.reads.migration(migrationId)).state === 'succeeded';
  });
  await until(async () => (await observations(vmId)).at(-1) === 'h2 running');
  expect(await vm(vmId)).toMatchObject({ host: 'h2', status: 'running' });
  const { version } = await vm(vmId);

  fleet.driver('h2').powerOff(vmId);
  await until(async () => (await observations(vmId)).at(-1) === 'h2 shut-down');
  expect(await vm(vmId)).toMatchObject({ status: 'running', version });
  await until(async () => (await plan(vmId)).moves[0]!.blockers.some((b) => b.code === 'vm.shut_down'));
  expect(await observations(vmId)).toEqual(['h1 running', 'h2 running', 'h2 shut-down']);

  await fleet.call('provisioning', 'DELETE', `/v1/vms/${vmId}`, {});
  await until(async () => (await vm(vmId)).status === 'deleted');
  expect(fleet.present('h2')).toEqual([]);
  expect(await verify({ databaseUrl: fleet.databaseUrl, monitors: () => [] })).toMatchObject({ faults: [], invariants: { I10: true } });
});

test('the verifier sees an observation that a host without the VM was believed in', async () => {
  const [moved] = await query<{ vm: string }>(`select stream_id as vm from provisioning.events where type like '%.vm.switched-over.v1'`);
  // A copy of the newest, as of the host that the VM had left: this is what must never be there.
  await query(
    `insert into agent_gateway.events (id, stream_id, version, type, data, meta, at)
     select gen_random_uuid(), stream_id, version + 1, type, data || '{"hostId": "h1", "epoch": 1}', meta, at
     from agent_gateway.events where stream_id = $1 order by version desc limit 1`,
    [`observed-${moved!.vm}`],
  );
  const { faults, invariants } = await verify({ databaseUrl: fleet.databaseUrl, monitors: () => [] });
  expect([invariants['I10'], faults]).toEqual([false, [expect.stringContaining(`I10: h1 was believed about ${moved!.vm} at epoch 1`)]]);
});
