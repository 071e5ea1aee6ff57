import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  amountsOf,
  provisioningEvents,
  resourceAllocationEvents,
  workflowEvents,
  type HostState,
  type LeftThere,
  type RunResult,
  type WorkflowRequest,
} from '@chrysalis/contracts';
import { facts, largeType, smallType, vm } from '@chrysalis/migration-templates-core/testing';
import { messageContext } from '@chrysalis/service-kit';
import type { KnownVm } from '@chrysalis/migration-templates-core';
import { openWorld, type World } from '../test/world.ts';
import type { Run } from '../sql/runs.ts';
import { sceneOf } from './subjects.ts';

let world: World;
const states = new Map<string, HostState>();
const versions = new Map<string, number>();

beforeAll(async () => {
  world = await openWorld();
  await world.type(smallType);
  await world.type(largeType);
});
afterAll(() => world.close());

/** Hosts of a test's own: the others are cordoned, so that nothing of another test goes there or comes from there. */
const hosts = async (...names: string[]) => {
  for (const [name, state] of states) if (state === 'enabled') await become(name, 'cordoned');
  for (const name of names) {
    versions.set(name, await world.host(facts(name)));
    states.set(name, 'enabled');
  }
};
const tellHost = async (hostId: string, contract: keyof typeof resourceAllocationEvents, data: object) =>
  versions.set(
    hostId,
    await world.tell('resource-allocation', `host-${hostId}`, resourceAllocationEvents[contract], { hostId, ...data } as never),
  );
const become = async (hostId: string, to: HostState) => {
  await tellHost(hostId, 'hostStateChanged', { from: states.get(hostId) ?? 'enabled', to, reason: 'test' });
  states.set(hostId, to);
};
/** Its last event has arrived. */
const knows = (hostId: string) =>
  world.until(async () => {
    const { rows } = await world.service.service.pool.query(`select version from migration_templates.known_hosts where host_id = $1`, [
      hostId,
    ]);
    return rows[0]?.version === versions.get(hostId);
  });
const amounts = amountsOf(smallType.spec);
const holds = (hostId: string, vmId: string, consumer = { kind: 'vm', id: vmId }) =>
  tellHost(hostId, 'allocationHeld', { consumer, vmId, amounts });
const releases = (hostId: string, vmId: string, consumer = { kind: 'vm', id: vmId }) =>
  tellHost(hostId, 'allocationReleased', { consumer, vmId, amounts, reason: 'test' });
const there = async (x: KnownVm) => {
  await world.vm(x);
  await holds(x.hostId, x.vmId);
};
/** A move of it has gone through: its VM and the ledger say so. */
const arrived = async ({ moveId, vmId }: { moveId: string; vmId: string }, x: KnownVm, toHost: string) => {
  const { hostId: fromHost, epoch, topology, topologyHash } = x;
  await world.tell('provisioning', vmId, provisioningEvents.vmSwitchedOver, { vmId, moveId, fromHost, toHost, epoch: epoch + 1, topology, topologyHash }); // prettier-ignore
  await releases(fromHost, vmId);
  await holds(toHost, vmId);
};

type Output = { total: number; succeeded: number; results: RunResult[]; left: LeftThere[] };
type Report = { attempt: number; outcome: { ok: boolean; output: Output; cause: { code: string; message: string } } };
const reports = async (workflowId: string): Promise<Report[]> => (await world.stream(`task-${workflowId}`)).map((e) => e.data as Report);
const report = (workflowId: string, n = 0): Promise<Report> => world.until(async () => (await reports(workflowId))[n]);
const short = ({ outcome }: Report) => outcome.output.results.map((r) => `${r.vmId} ${r.state}`);
const drain = (workflowId: string, hostId: string, more: { tenant?: string; attempt?: number; deadlineAt?: string } = {}) =>
  world.give(workflowId, 'move', 'migration.run', { hostId, concurrency: 1, since: versions.get(hostId) ?? 0 }, { tenant: '*', ...more });
const runRow = async (workflowId: string) =>
  (await world.service.service.pool.query(`select * from migration_templates.runs where run_id = $1`, [`${workflowId}/move`])).rows[0];
/** It waits: somebody has looked at it, and will look again. */
const waits = (workflowId: string) =>
  world.until(async () => {
    const row = await runRow(workflowId);
    return row?.look_at && !row.migration_id && !row.outcome && row;
  });

type Started = { migrationId: string; moveId: string; vmId: string; request: WorkflowRequest };
const movesOf = async (vmId: string): Promise<Started[]> => {
  const { rows } = await world.service.service.pool.query<{ data: Started }>(
    `select data from migration_templates.events where type like '%.move.started.v1' and data ->> 'vmId' = $1 order by global_position`,
    [vmId],
  );
  return rows.map((r) => r.data);
};
const move = (vmId: string, n = 0): Promise<Started> => world.until(async () => (await movesOf(vmId))[n]);
const goes = async (x: KnownVm, toHost: string, n = 0) => {
  const m = await move(x.vmId, n);
  await arrived(m, x, toHost);
  await world.ran(m.request, { state: 'succeeded' });
};

describe('a drain goes on until the host is empty', () => {
  test('a VM that is being created there is waited for, also by a service that was started anew, and then goes', async () => {
    await hosts('a1', 'a2');
    const [old, young] = [vm({ vmId: 'vm-a-old', hostId: 'a1' }), vm({ vmId: 'vm-a-young', hostId: 'a1', name: 'young' })];
    await there(old);
    await world.newVm(young);
    await holds('a1', young.vmId);
    await become('a1', 'retiring');
    await drain('op-a', 'a1');
    await goes(old, 'a2');
    await waits('op-a');
    await world.restart();
    expect(await reports('op-a')).toEqual([]);
    await world.boot(young);
    await goes(young, 'a2');
    const told = await report('op-a');
    expect([short(told), told.outcome.output.left]).toEqual([['vm-a-old succeeded', 'vm-a-young succeeded'], []]);
    expect((await world.stream(`task-op-a`))[0]!.meta.tenant).toBe('*');
  });

  test('one that nobody holds on has ended at once', async () => {
    await hosts('b1');
    await become('b1', 'draining');
    await drain('op-b', 'b1');
    expect((await report('op-b')).outcome).toEqual({ ok: true, output: { total: 0, succeeded: 0, results: [], left: [] } });
  });

  test('a VM in a move from it is waited for, and one in a move to it goes when it has come', async () => {
    await hosts('c1', 'c2');
    const [off, on] = [vm({ vmId: 'vm-c-off', hostId: 'c1' }), vm({ vmId: 'vm-c-on', hostId: 'c2' })];
    await there(off);
    await there(on);
    const { service } = world.service;
    const ours = (moveId: string, vmId: string) =>
      service.pool.query(`insert into migration_templates.moves (move_id, migration_id, vm_id) values ($1, 'mig-users', $2)`, [
        moveId,
        vmId,
      ]);
    await ours('mov-c-off', off.vmId);
    await ours('mov-c-on', on.vmId);
    await holds('c1', on.vmId, { kind: 'move', id: 'mov-c-on' });
    await become('c1', 'retiring');
    await drain('op-c', 'c1');
    await waits('op-c');
    const end = (moveId: string) =>
      service.pool.query(`update migration_templates.moves set ended_at = now(), state = 'succeeded' where move_id = $1`, [moveId]);
    await arrived({ moveId: 'mov-c-off', vmId: off.vmId }, off, 'c2');
    await end('mov-c-off');
    await tellHost('c1', 'allocationSwapped', { moveId: 'mov-c-on', vmId: on.vmId, amounts });
    await releases('c2', on.vmId);
    await world.tell('provisioning', on.vmId, provisioningEvents.vmSwitchedOver, { vmId: on.vmId, moveId: 'mov-c-on', fromHost: 'c2', toHost: 'c1', epoch: 2, topology: on.topology, topologyHash: on.topologyHash }); // prettier-ignore
    await end('mov-c-on');
    await goes({ ...on, hostId: 'c1', epoch: 2 }, 'c2');
    expect(short(await report('op-c'))).toEqual(['vm-c-on succeeded']);
    expect(await movesOf(off.vmId)).toEqual([]);
  });

  test('who cannot go is named with the reason; with the reason gone the next attempt takes it', async () => {
    await hosts('d1', 'd2');
    const held = vm({ vmId: 'vm-d', hostId: 'd1', name: 'web-1' });
    await there(held);
    await become('d2', 'cordoned');
    await become('d1', 'retiring');
    await drain('op-d', 'd1');
    const told = await report('op-d');
    expect(told.outcome.output).toMatchObject({
      total: 1,
      results: [{ vmId: 'vm-d', name: 'web-1', state: 'blocked' }],
      left: [{ consumer: 'vm:vm-d', who: 'web-1 (vm-d)', why: expect.stringMatching(/^no other host can take vm-d as small@1/) }],
    });
    await become('d2', 'enabled');
    await drain('op-d', 'd1', { attempt: 2 });
    await goes(held, 'd2');
    const again = await report('op-d', 1);
    expect([again.attempt, short(again)]).toEqual([2, ['vm-d succeeded']]);
  });

  test('a VM whose move was undone has one more turn; one whose move failed holds the host, and is named', async () => {
    await hosts('e1', 'e2');
    const [twice, broken] = [vm({ vmId: 'vm-e-1', hostId: 'e1' }), vm({ vmId: 'vm-e-2', hostId: 'e1', name: 'db' })];
    await there(twice);
    await there(broken);
    await become('e1', 'retiring');
    await drain('op-e', 'e1');
    await world.ran((await move(twice.vmId)).request, {
      state: 'undone',
      failing: 'transfer',
      cause: { code: 'host.retiring', message: 'taken' },
    });
    const stuck = await move(broken.vmId);
    const begun = { vmId: broken.vmId, moveId: stuck.moveId, fromHost: 'e1', toHost: 'e2', fromType: smallType.ref, toType: smallType.ref };
    await world.tell('provisioning', broken.vmId, provisioningEvents.vmMoveBegun, begun);
    await world.ran(stuck.request, { state: 'stopped', failing: 'transfer', cause: { code: 'host.lost', message: 'gone' } });
    await goes(twice, 'e2', 1);
    const { output } = (await report('op-e')).outcome;
    expect(output.results.map((r) => `${r.vmId} ${r.state}`)).toEqual(['vm-e-1 succeeded', 'vm-e-2 failed']);
    expect(output.left).toEqual([
      { consumer: 'vm:vm-e-2', who: 'db (vm-e-2)', why: expect.stringContaining(`held by ${stuck.moveId}, which failed`) },
    ]);
  });

  test('twice at once: the second waits for the first, and each VM moves once', async () => {
    await hosts('f1', 'f2');
    const one = vm({ vmId: 'vm-f', hostId: 'f1' });
    await there(one);
    await become('f1', 'retiring');
    await drain('op-f-1', 'f1');
    const moved = await move(one.vmId);
    await drain('op-f-2', 'f1');
    await waits('op-f-2');
    await arrived(moved, one, 'f2');
    await world.ran(moved.request, { state: 'succeeded' });
    expect(short(await report('op-f-1'))).toEqual(['vm-f succeeded']);
    expect(short(await report('op-f-2'))).toEqual([]);
    expect(await movesOf(one.vmId)).toHaveLength(1);
  });

  test("another move that takes the VM at the same moment is waited for, and the run's own is as if it had never been", async () => {
    await hosts('g1', 'g2');
    const one = vm({ vmId: 'vm-g', hostId: 'g1' });
    await there(one);
    await become('g1', 'retiring');
    const { pool } = world.service.service;
    const other = await pool.connect();
    await other.query('begin');
    await other.query(`insert into migration_templates.moves (move_id, migration_id, vm_id) values ('mov-g', 'mig-users', 'vm-g')`);
    await drain('op-g', 'g1');
    await world.until(async () => (await pool.query(`select from pg_locks where not granted`)).rows.length > 0);
    await other.query('commit');
    other.release();
    await waits('op-g');
    expect(await movesOf(one.vmId)).toEqual([]);
    expect(await reports('op-g')).toEqual([]);
    await pool.query(`update migration_templates.moves set ended_at = now(), state = 'undone' where move_id = 'mov-g'`);
    await goes(one, 'g2');
    expect(short(await report('op-g'))).toEqual(['vm-g succeeded']);
  });

  test('two hosts at the same time: nobody goes to the other one', async () => {
    await hosts('h1', 'h2', 'h3');
    const [one, two] = [vm({ vmId: 'vm-h-1', hostId: 'h1' }), vm({ vmId: 'vm-h-2', hostId: 'h2' })];
    await there(one);
    await there(two);
    await become('h1', 'retiring');
    await become('h2', 'retiring');
    await knows('h2'); // what comes late the hold of h2 would refuse, and the drain look again; holds are not in this world
    await drain('op-h-1', 'h1');
    await drain('op-h-2', 'h2');
    for (const x of [one, two]) expect((await move(x.vmId)).request.params).toMatchObject(expect.anything());
    await goes(one, 'h3');
    await goes(two, 'h3');
    const [a, b] = [await report('op-h-1'), await report('op-h-2')];
    expect([a, b].map((r) => r.outcome.output.results.map((x) => x.toHost))).toEqual([['h3'], ['h3']]);
  });
});

describe('a drain ends', () => {
  const cancel = (workflowId: string) =>
    world.tell('workflow', `workflow-${workflowId}`, workflowEvents.cancelRequested, { workflowId, reason: 'another day' });

  test('when it is cancelled: its migration is, and its task fails when what was under way has ended', async () => {
    await hosts('i1', 'i2');
    const vms = ['vm-i-1', 'vm-i-2'].map((vmId) => vm({ vmId, hostId: 'i1' }));
    for (const x of vms) await there(x);
    await become('i1', 'retiring');
    await drain('op-i', 'i1');
    const first = await move('vm-i-1');
    await cancel('op-i');
    await cancel('op-i');
    const migration = await world.until(async () => {
      const seen = await world.reads.migration(first.migrationId);
      return seen.cancelled === 'another day' && seen;
    });
    expect(migration.state).toBe('running');
    expect(await reports('op-i')).toEqual([]);
    await world.ran(first.request, { state: 'undone' });
    expect((await report('op-i')).outcome).toMatchObject({ ok: false, cause: { code: 'workflow.cancelled', message: 'another day' } });
    expect(await movesOf('vm-i-2')).toEqual([]);
  });

  test('also when it is cancelled before its task is here', async () => {
    await hosts('j1', 'j2');
    await there(vm({ vmId: 'vm-j', hostId: 'j1' }));
    await become('j1', 'retiring');
    const dispatch = { workflowId: 'op-j', task: 'move', action: 'run', attempt: 1, kind: 'migration.run', executor: 'group:migration-templates', group: 'migration-templates', input: { hostId: 'j1', concurrency: 1 }, token: 1, deadlineAt: '2030-01-01T00:00:00.000Z', tenant: '*', at: new Date().toISOString() } as const; // prettier-ignore
    await world.tell('workflow', 'workflow-op-j', workflowEvents.taskDispatched, dispatch, '*');
    await cancel('op-j');
    await report('op-j');
    await drain('op-j', 'j1');
    expect((await report('op-j', 1)).outcome).toMatchObject({ ok: false, cause: { code: 'workflow.cancelled' } });
    expect(await movesOf('vm-j')).toEqual([]);
  });

  test('when its host is enabled again, and says so', async () => {
    await hosts('k1', 'k2');
    const young = vm({ vmId: 'vm-k', hostId: 'k1', name: 'k' });
    await world.newVm(young);
    await holds('k1', young.vmId);
    await become('k1', 'retiring');
    await drain('op-k', 'k1');
    await waits('op-k');
    await become('k1', 'enabled');
    const { outcome } = await report('op-k');
    expect([outcome.ok, outcome.output.left]).toEqual([true, [{ consumer: 'vm:vm-k', who: 'k (vm-k)', why: 'k (vm-k) is being created' }]]);
    expect(outcome.output.results).toMatchObject([{ state: 'not-begun' }]);
  });

  test('before its deadline, with the name of each that holds and why', async () => {
    await hosts('l1', 'l2');
    await world.newVm(vm({ vmId: 'vm-l', hostId: 'l1', name: 'slow' }));
    await holds('l1', 'vm-l');
    await become('l1', 'retiring');
    await drain('op-l', 'l1', { deadlineAt: new Date(Date.now() + 3_000).toISOString() });
    const { outcome } = await report('op-l');
    expect(outcome.output.left).toEqual([{ consumer: 'vm:vm-l', who: 'slow (vm-l)', why: 'slow (vm-l) is being created' }]);
  });
});

describe('a run of VMs that are found', () => {
  test('has each that holds on the host, beyond a thousand', async () => {
    const { pool, store, newId, log, clock } = world.service.service;
    const n = 2_345;
    await pool.query(`insert into migration_templates.known_hosts (host_id, version, host) values ('many', 1, '{"state": "retiring"}')`);
    await pool.query(
      `insert into migration_templates.known_holds (host_id, consumer, hold) select 'many', 'vm:vm-many-' || i, $1 from generate_series(0, $2 - 1) i`,
      [JSON.stringify(amounts), n],
    );
    const { vmId: _, tenant: __, version: ___, ...one } = vm({ hostId: 'many' });
    await pool.query(
      `insert into migration_templates.known_vms (vm_id, tenant, version, vm)
       select 'vm-many-' || i, 'acme', 3, $1::jsonb || jsonb_build_object('vmId', 'vm-many-' || i) from generate_series(0, $2 - 1) i`,
      [JSON.stringify(one), n],
    );
    const run = { runId: 'many', tenant: '*', input: { hostId: 'many', concurrency: 1 }, results: {} } as unknown as Run;
    const meta = { at: clock(), correlationId: 'x', actor: 'test', tenant: '*' };
    const scene = await store.transaction((tx) => sceneOf(run, messageContext({ store, log, newId }, tx, meta)));
    expect(scene.subjects.filter((s) => s.standing.state === 'free')).toHaveLength(n);
    const own = await store.transaction((tx) => sceneOf({ ...run, tenant: 'other' }, messageContext({ store, log, newId }, tx, meta)));
    expect(own.subjects).toEqual([]);
  });

  test('has each of a type, also one that is being created', async () => {
    await hosts('m1');
    const young = vm({ vmId: 'vm-m', hostId: 'm1', type: { name: 'rare', version: 1 }, tenant: 'other', name: 'm' });
    await world.type({ ref: { name: 'rare', version: 1 }, spec: smallType.spec });
    await world.type({ ref: { name: 'rare', version: 2 }, spec: smallType.spec });
    await world.newVm(young);
    await world.until(
      async () => (await world.service.service.pool.query(`select from migration_templates.known_vms where vm_id = 'vm-m'`)).rowCount === 1,
    );
    await world.give('op-m', 'move', 'migration.run', { ofType: 'rare@1', toType: 'rare@2', concurrency: 1 }, { tenant: '*' });
    await waits('op-m');
    await world.boot(young);
    await world.ran((await move('vm-m')).request, { state: 'succeeded' });
    expect(short(await report('op-m'))).toEqual(['vm-m succeeded']);
  });

  test('says exactly one thing that it is about', async () => {
    await world.give('op-n', 'move', 'migration.run', { concurrency: 1 });
    expect((await report('op-n')).outcome.cause).toMatchObject({ code: 'executor.input_invalid' });
  });
});
