import { agentGatewayEvents, eventsTopic, type PoolSeen } from '@chrysalis/contracts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Harness, hostFacts } from '../test/harness.ts';

const pool = (n: number): string => `pool-0199c0de-0000-7000-8000-0000000000b${n}`;
const [SHARED, LOCAL, OTHER] = [pool(1), pool(2), pool(3)];
const amounts = (diskMiB: number) => ({ vcpu: 1, memoryMiB: 512, diskMiB });
let h: Harness;
const at = (name: string, poolId: string) => ({ name, poolId, kind: 'folder' });
const enrol = async (hostId: string, pools: ReturnType<typeof at>[], room: number): Promise<void> => {
  const facts = hostFacts(hostId, 64, { storagePools: pools.map((p) => p.name), pools });
  const seen: PoolSeen[] = pools.map(({ poolId }) => ({ poolId, usedMiB: 0, freeMiB: room }));
  const data = { hostId, sessionId: 's1', agentVersion: '1', facts, pools: seen };
  await h.say(eventsTopic('agent-gateway'), `host-agent-${hostId}`, agentGatewayEvents.hostAgentEnrolled.type, data);
};
const place = (vmId: string, diskMiB: number, more: object = {}) => ({
  kind: 'allocation.place',
  input: {
    ...{ consumer: { kind: 'vm', id: vmId }, vmId, amounts: amounts(diskMiB), cpuModel: 'Westmere', traits: [], networks: ['front'] },
    ...{ pools: ['shared'], room: [{ pool: 'shared', sizeMiB: diskMiB }], ...more },
  },
});
const hold = (volumeId: string, sizeMiB: number, more: object = {}) => ({
  kind: 'allocation.hold-room',
  input: { volumeId, sizeMiB, pool: 'shared', fresh: true, ...more },
});
const release = (volumeId: string, toMiB = 0) => ({ kind: 'allocation.release-room', input: { volumeId, toMiB, reason: 'test' } });
const held = async (): Promise<string[]> => {
  const { rows } = await h.running.service.pool.query<{ text: string }>(
    `select concat_ws(' ', right(pool, 2), consumer, size_mib) as text from resource_allocation.pool_holds order by 1`,
  );
  const { rows: sums } = await h.running.service.pool.query<{ same: boolean }>(
    `select p.held_mib = coalesce(sum(size_mib), 0) and p.version = (select count(*) from resource_allocation.events where stream_id = p.pool) as same
     from resource_allocation.pools p left join resource_allocation.pool_holds using (pool) group by p.pool`,
  );
  expect(sums.every((s) => s.same)).toBe(true);
  return rows.map((r) => r.text);
};
const settle = (poolId: string, body: object) => h.http('PATCH', `/v1/pools/${poolId}`, { reason: 'test', ...body });

beforeAll(async () => {
  h = await Harness.start(16);
  await enrol('a', [at('shared', SHARED), at('local', LOCAL)], 1000);
  await enrol('b', [at('shared', SHARED)], 1000);
  await h.registered(2);
});
afterAll(() => h?.stop());

test('two hosts that share a pool have its room once; what does not fit is refused, and nothing of it is held anywhere', async () => {
  expect(await h.run('op-1', place('vm-1', 600))).toMatchObject({ ok: true });
  expect(await h.run('op-2', place('vm-2', 500))).toMatchObject({ ok: false, cause: { code: 'pool.capacity_exceeded' } });
  expect((await h.ledger()).map((l) => l.vm)).toEqual(['vm-1']);
  expect(await h.run('op-3', hold('volume-1', 401))).toMatchObject({ ok: false, cause: { code: 'pool.capacity_exceeded' } });
  expect(await h.run('op-4', hold('volume-1', 300))).toMatchObject({ ok: true, output: { poolId: SHARED } });
  expect(await held()).toEqual(['b1 vm:vm-1 600', 'b1 volume:volume-1 300']);
  // Grown within the room, and given up: it is as before.
  expect(await h.run('op-5', hold('volume-1', 500, { fresh: false }))).toMatchObject({ ok: false });
  expect(await h.run('op-6', hold('volume-1', 400, { fresh: false }))).toMatchObject({ ok: true });
  await h.run('op-6', release('volume-1', 300));
  expect(await held()).toEqual(['b1 vm:vm-1 600', 'b1 volume:volume-1 300']);
});

test('a move along a shared pool takes nothing more, one that grows a disk what it grows by; swap and release leave what is there', async () => {
  const consumer = { kind: 'move', id: 'mov-1' };
  const { host } = (await h.ledger())[0]!;
  const toHost = host === 'a' ? 'b' : 'a';
  const moving = (sizeMiB: number) => place('vm-1', sizeMiB, { consumer, host: toHost, room: [{ pool: 'shared', sizeMiB, hasMiB: 600 }] });
  expect(await h.run('op-10', moving(600))).toMatchObject({ ok: true });
  expect(await held()).toEqual(['b1 vm:vm-1 600', 'b1 volume:volume-1 300']);
  const undo = { kind: 'allocation.release', input: { consumer, vmId: 'vm-1', reason: 'undone' } };
  await h.run('op-10', undo);
  expect(await h.run('op-11', moving(701))).toMatchObject({ ok: false, cause: { code: 'pool.capacity_exceeded' } });
  expect(await h.run('op-12', moving(650))).toMatchObject({ ok: true });
  expect(await held()).toEqual(['b1 move:mov-1 50', 'b1 vm:vm-1 600', 'b1 volume:volume-1 300']);
  const swap = { moveId: 'mov-1', vmId: 'vm-1', fromHost: host, toHost, amounts: amounts(650), room: [{ pool: 'shared', sizeMiB: 650 }] };
  expect(await h.run('op-12', { kind: 'allocation.swap', input: swap })).toMatchObject({ ok: true });
  expect(await held()).toEqual(['b1 vm:vm-1 650', 'b1 volume:volume-1 300']);
});

test('an administrator allows more, or asks for files in full; of a pool that nobody knows nothing is said', async () => {
  expect((await settle(SHARED, { ratioPerMille: 1500 })).status).toBe(403); // an operator is none
  const admin = async (body: object, id = SHARED) => {
    const { pool: db } = h.running.service;
    expect((await db.query('select from resource_allocation.pools where pool = $1', [id])).rowCount).toBe(id === SHARED ? 1 : 0);
    return h.http<{ code: string; capacityMiB: number }>('PATCH', `/v1/pools/${id}`, { reason: 'test', ...body }, await h.as('admin'));
  };
  expect(await admin({ ratioPerMille: 1500 })).toMatchObject({ status: 200, body: { capacityMiB: 1500, heldMiB: 950 } });
  expect((await admin({ allocation: 'full' })).body.code).toBe('pool.overcommit_refused');
  expect((await admin({ ratioPerMille: 0 })).body.code).toBe('request.invalid');
  expect((await admin({ ratioPerMille: 2000 }, pool(9))).body.code).toBe('pool.unknown');
  expect((await admin({ allocation: 'full', ratioPerMille: 1000, reservedMiB: 0 })).status).toBe(200);
  expect(await h.run('op-20', hold('volume-2', 50))).toMatchObject({ ok: true, output: { allocation: 'full' } });
});

test('of many at once for the last room as many get it as there is; what is released is noted, so that a late hold is refused', async () => {
  const room = (usedMiB: number, freeMiB: number) => ({ hostId: 'a', pools: [{ poolId: LOCAL, usedMiB, freeMiB }] });
  await h.say(eventsTopic('agent-gateway'), 'host-agent-a', agentGatewayEvents.hostPoolsObserved.type, room(0, 100));
  await h.eventually(
    async () => (await h.http('POST', '/v1/volume-placements', { pool: 'local', sizeMiB: 101 })).body.refused.length === 2,
  );
  const asked = await Promise.all(Array.from({ length: 20 }, (_, n) => h.run(`op-3${n}`, hold(`volume-x${n}`, 30, { pool: 'local' }))));
  expect(asked.filter((o) => o.ok)).toHaveLength(3);
  expect((await held()).filter((text) => text.startsWith('b2'))).toHaveLength(3);
  const late = await h.dispatch('op-50', { ...hold('volume-late', 1), token: 1 });
  await h.outcomeOf(late);
  await h.run('op-50', release('volume-late'));
  expect(await h.run('op-50', { ...hold('volume-late', 1), token: 1, attempt: 2 })).toMatchObject({
    ok: false,
    cause: { code: 'allocation.superseded' },
  });
});

test('a move to a pool of that name which is another one holds all of its disks there; swapped, what it held in the first is given back', async () => {
  await enrol('a', [at('shared', SHARED), at('local', LOCAL)], 1000);
  await enrol('c', [at('local', OTHER)], 1000);
  await h.registered(3);
  const [vmId, moveId] = ['vm-copied', 'mov-copied'];
  const mine = async (): Promise<string[]> => (await held()).filter((text) => /copied/.test(text));
  expect(await h.run('op-60', place(vmId, 70, { host: 'a', pools: ['local'], room: [{ pool: 'local', sizeMiB: 10 }] }))).toMatchObject({
    ok: true,
  });
  const room = [{ pool: 'local', sizeMiB: 20, hasMiB: 10, from: LOCAL }];
  const consumer = { kind: 'move', id: moveId };
  expect(await h.run('op-61', place(vmId, 70, { consumer, host: 'c', pools: ['local'], room }))).toMatchObject({ ok: true });
  expect(await mine()).toEqual([`b2 vm:${vmId} 10`, `b3 move:${moveId} 20`]);
  const swap = { moveId, vmId, fromHost: 'a', toHost: 'c', amounts: amounts(70), room };
  for (const op of ['op-61', 'op-62']) expect(await h.run(op, { kind: 'allocation.swap', input: swap })).toMatchObject({ ok: true }); // said again, it is so already
  expect(await mine()).toEqual([`b3 vm:${vmId} 20`]);
  const tooMuch = [{ pool: 'local', sizeMiB: 2000, hasMiB: 2000, from: OTHER }];
  const back = place(vmId, 70, { consumer: { kind: 'move', id: 'mov-copied-2' }, host: 'a', pools: ['local'], room: tooMuch });
  expect(await h.run('op-63', back)).toMatchObject({ ok: false, cause: { code: 'pool.capacity_exceeded' } });
  expect(await mine()).toEqual([`b3 vm:${vmId} 20`]);
});
