import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Harness, hostFacts } from './test/harness.ts';
import { forgetReleases } from './sql/ledger.ts';
import { allocationsAreConserved } from './test/invariant.ts';

const small = { vcpu: 1, memoryMiB: 512, diskMiB: 100 };
const large = { vcpu: 2, memoryMiB: 1024, diskMiB: 200 };
const place = (consumer: { kind: string; id: string }, vmId: string, amounts = small, more: object = {}) => ({
  kind: 'allocation.place',
  input: { consumer, vmId, amounts, cpuModel: 'Westmere', traits: [], networks: ['front'], pools: ['shared'], ...more },
});
const vm = (id: string) => ({ kind: 'vm', id });
const move = (id: string) => ({ kind: 'move', id });
const release = (consumer: { kind: string; id: string }, more: object = {}) => ({
  kind: 'allocation.release',
  input: { consumer, vmId: 'vm-a', reason: 'test' },
  ...more,
});

describe('resource allocation', () => {
  let h: Harness;
  const hostEvents = async (host: string): Promise<string[]> =>
    (await h.running.service.store.read(`host-${host}`)).map((e) => e.type.split('.').slice(2, 4).join('.'));
  const ledger = () => h.ledger();

  beforeAll(async () => {
    h = await Harness.start();
  });
  afterAll(() => h?.stop());

  test('an agent that enrols makes a host; equal facts say nothing; a lost session changes no state', async () => {
    await h.enrolled(hostFacts('a'));
    await h.enrolled(hostFacts('a'), 's2');
    await h.enrolled(hostFacts('b', 8), 's1');
    await h.lost('a', 's1'); // that of the older session, told late
    await h.lost('b', 's1');
    const hosts = await h.eventually(async () => {
      const [a, b] = [await h.host('a'), await h.host('b')];
      return a?.connected === true && b?.connected === false && [a, b];
    });
    expect(hosts.map((x) => [x.id, x.state, x.connected, x.free.vcpu])).toEqual([
      ['a', 'enabled', true, 4],
      ['b', 'enabled', false, 8],
    ]);
    expect(await hostEvents('a')).toEqual(['host.registered']);
    await h.enrolled(hostFacts('b', 6), 's2');
    await h.eventually(async () => (await h.host('b'))!.connected);
    expect(await hostEvents('b')).toEqual(['host.registered', 'host.facts-changed']);
    expect(await h.host('b')).toMatchObject({ capacity: { vcpu: 6 }, version: 2 });
  });

  test('a placement says where, and the same consumer again gets the same answer', async () => {
    const first = await h.run('op-1', place(vm('vm-a'), 'vm-a'));
    expect(first).toEqual({ ok: true, output: { hostId: 'a', address: '192.0.2.1:1', generation: 2 } });
    expect(await h.run('op-1', { ...place(vm('vm-a'), 'vm-a'), attempt: 2 })).toEqual(first);
    expect(await ledger()).toEqual([{ host: 'a', consumer: 'vm:vm-a', vm: 'vm-a', ...small }]);
    expect(await h.run('op-1', { ...place(vm('vm-a'), 'vm-a', large), attempt: 3 })).toMatchObject({
      ok: false,
      cause: { code: 'allocation.conflict' },
    });
  });

  test('where there is no host, the cause has every host with all its reasons', async () => {
    expect(await h.run('op-2', place(vm('vm-x'), 'vm-x', { ...small, vcpu: 99 }, { networks: ['storage'] }))).toMatchObject({
      ok: false,
      cause: {
        code: 'placement.no_host',
        detail: {
          refused: [
            { hostId: 'a', reasons: [{ code: 'host.networks_missing' }, { code: 'host.capacity_exceeded' }] },
            { hostId: 'b', reasons: [{ code: 'host.networks_missing' }, { code: 'host.capacity_exceeded' }] },
          ],
        },
      },
    });
    const pinned = await h.run('op-3', place(vm('vm-x'), 'vm-x', small, { host: 'zz' }));
    expect(pinned).toMatchObject({ ok: false, cause: { code: 'host.unknown', message: expect.stringMatching(/: there is a/) } });
    const dry = await h.http('POST', '/v1/placements', {
      amounts: small,
      cpuModel: 'Westmere',
      traits: ['gpu'],
      networks: [],
      pools: [],
      notHost: 'a',
    });
    expect(dry.body.refused.map((r) => [r.hostId, r.reasons.map((x) => x.code)])).toEqual([
      ['a', ['host.excluded', 'host.traits_missing']],
      ['b', ['host.traits_missing']],
    ]);
    expect((await h.http('POST', '/v1/placements', { amounts: { vcpu: -1 } })).body.code).toBe('request.invalid');
  });

  test('a move: held on both ends, swapped in one commit, nothing left', async () => {
    expect(await h.run('mov-1', place(move('mov-1'), 'vm-a', large, { host: 'b' }))).toMatchObject({ ok: true, output: { hostId: 'b' } });
    expect((await ledger()).map((l) => [l.host, l.consumer])).toEqual([
      ['a', 'vm:vm-a'],
      ['b', 'move:mov-1'],
    ]);
    const swap = { kind: 'allocation.swap', input: { moveId: 'mov-1', vmId: 'vm-a', fromHost: 'a', toHost: 'b', amounts: large } };
    expect(await h.run('mov-1', swap)).toEqual({ ok: true, output: {} });
    expect(await h.run('mov-1', { ...swap, attempt: 2 })).toEqual({ ok: true, output: {} });
    expect(await ledger()).toEqual([{ host: 'b', consumer: 'vm:vm-a', vm: 'vm-a', ...large }]);
    await allocationsAreConserved(h.running.service);
  });

  test('a swap that the target refuses leaves the hold on the source', async () => {
    const swap = { kind: 'allocation.swap', input: { moveId: 'mov-9', vmId: 'vm-a', fromHost: 'b', toHost: 'a', amounts: large } };
    expect(await h.run('mov-9', swap)).toMatchObject({ ok: false, cause: { code: 'allocation.unknown' } });
    expect(await ledger()).toEqual([{ host: 'b', consumer: 'vm:vm-a', vm: 'vm-a', ...large }]);
    await allocationsAreConserved(h.running.service);
  });

  test('a change of type in place holds the difference, also where the host is cordoned', async () => {
    const cordon = await h.http('POST', '/v1/hosts/b/state', { state: 'cordoned', reason: 'repairs' });
    expect([cordon.status, cordon.body.state]).toEqual([200, 'cordoned']);
    const larger = { vcpu: 5, memoryMiB: 1024, diskMiB: 100 };
    expect(await h.run('mov-2', place(move('mov-2'), 'vm-a', larger, { host: 'b' }))).toMatchObject({ ok: true });
    expect((await ledger())[0]).toEqual({ host: 'b', consumer: 'move:mov-2', vm: 'vm-a', vcpu: 3, memoryMiB: 0, diskMiB: 0 });
    const swap = { kind: 'allocation.swap', input: { moveId: 'mov-2', vmId: 'vm-a', fromHost: 'b', toHost: 'b', amounts: larger } };
    expect(await h.run('mov-2', swap)).toEqual({ ok: true, output: {} });
    expect(await ledger()).toEqual([{ host: 'b', consumer: 'vm:vm-a', vm: 'vm-a', ...larger }]);
    await allocationsAreConserved(h.running.service);
    expect(await h.run('op-4', place(vm('vm-n'), 'vm-n', small, { host: 'b' }))).toMatchObject({
      ok: false,
      cause: { code: 'host.cordoned' },
    });
  });

  test('a release is welcome twice, and a placement of the same workflow that comes after it is refused', async () => {
    const late = { ...place(vm('vm-late'), 'vm-late'), token: 1 };
    expect(await h.run('op-5', release(vm('vm-late'), { action: 'compensate', token: 7 }))).toEqual({ ok: true, output: {} });
    expect(await h.run('op-5', late)).toMatchObject({ ok: false, cause: { code: 'allocation.superseded', retriable: false } });
    expect(await h.run('op-6', release(vm('vm-a')))).toEqual({ ok: true, output: {} });
    expect(await h.run('op-6', release(vm('vm-a'), { attempt: 2 }))).toEqual({ ok: true, output: {} });
    expect(await ledger()).toEqual([]);
  });

  test('a release is forgotten after a week', async () => {
    const { pool } = h.running.service;
    const old = `insert into resource_allocation.released values ('vm:old', $1, 1, now() - $2::interval)`;
    await pool.query(old, ['op-old', '8 days']);
    await pool.query(old, ['op-new', '6 days']);
    expect(await forgetReleases(pool, 'resource_allocation')).toBe(1);
    expect((await pool.query(`select workflow from resource_allocation.released where consumer = 'vm:old'`)).rows).toEqual([
      { workflow: 'op-new' },
    ]);
  });

  test('a change of state can be bound to what was seen, and bad ones change nothing', async () => {
    const { version } = (await h.host('a'))!;
    const path = '/v1/hosts/a/state';
    expect((await h.http('POST', path, { state: 'asleep', reason: 'x' })).body.code).toBe('request.invalid');
    expect((await h.http('POST', path, { state: 'cordoned', reason: 'x' }, { 'if-match': '"1"' })).body.code).toBe(
      'stream.version_mismatch',
    );
    expect((await h.http('POST', '/v1/hosts/zz/state', { state: 'cordoned', reason: 'x' })).body).toMatchObject({
      code: 'host.unknown',
      detail: expect.stringMatching(/^there is no host zz; there (is|are) a/),
    });
    expect((await h.host('a'))!.version).toBe(version);
    expect((await h.http('POST', path, { state: 'draining', reason: 'x' }, { 'if-match': `"${version}"` })).body.state).toBe('draining');
    await h.http('POST', path, { state: 'enabled', reason: 'x' });
  });

  test('the ledger refuses what goes over capacity, whoever says it', async () => {
    const { pool } = h.running.service;
    const insert = `insert into resource_allocation.ledger values ('vm:x', 'a', 'x', $1, 0, 0)`;
    await expect(pool.query(insert, [5])).rejects.toThrow('hosts_not_over_capacity');
    await pool.query(insert, [4]);
    await h.enrolled(hostFacts('a', 2), 's3'); // reports less than is held: what is held stays, and may shrink but not grow
    await h.eventually(async () => (await h.host('a'))!.free.vcpu === -2);
    await expect(pool.query(`update resource_allocation.ledger set vcpu = 5 where consumer = 'vm:x'`)).rejects.toThrow('over_capacity');
    await pool.query(`update resource_allocation.ledger set vcpu = 3 where consumer = 'vm:x'`);
    await expect(pool.query(`update resource_allocation.ledger set vcpu = 4 where consumer = 'vm:x'`)).rejects.toThrow('over_capacity');
    await pool.query(`delete from resource_allocation.ledger`);
    await expect(pool.query(`update resource_allocation.hosts set vcpu_held = -1`)).rejects.toThrow('below_zero');
  });
});
