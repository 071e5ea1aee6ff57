import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventsTopic, type Context } from '@chrysalis/contracts';
import { Harness, hostFacts } from './test/harness.ts';

const small = { vcpu: 1, memoryMiB: 512, diskMiB: 100 };
const place = (kind: 'vm' | 'move', id: string, vmId: string, host: string) => ({
  kind: 'allocation.place',
  input: {
    consumer: { kind, id },
    vmId,
    amounts: small,
    cpuModel: 'Westmere',
    traits: [],
    networks: ['front'],
    pools: ['shared'],
    host,
  },
});
const example = (type: string): Record<string, unknown> =>
  (
    JSON.parse(readFileSync(new URL(`../../../libs/contracts/examples/${type}.json`, import.meta.url), 'utf8')) as {
      data: Record<string, unknown>;
    }
  ).data;

describe('a host that retires, and holds that nobody owns', () => {
  let h: Harness;
  let run = 0;
  const ask = (kind: string, input: object) => h.run(`op-${++run}`, { kind, input: input as Record<string, unknown> });
  /** What another context says of an owner. */
  const told = (context: Context, type: string, ids: object) =>
    h.say(eventsTopic(context), `x-${JSON.stringify(ids)}`, type, { ...example(type), ...ids });

  beforeAll(async () => {
    h = await Harness.start();
    for (const name of ['a', 'b']) await h.enrolled(hostFacts(name, 8));
    await h.registered(2);
  });
  afterAll(() => h?.stop());

  test('takes no new VMs and no moves, and says who is still there', async () => {
    expect(await ask('allocation.list-on-host', { hostId: 'a', expectEmpty: true })).toEqual({
      ok: true,
      output: { vmIds: [], more: false, generation: 1 },
    });
    expect(await ask('allocation.list-on-host', { hostId: 'a', expectClosed: true })).toMatchObject({
      ok: false,
      cause: { code: 'host.enabled', retriable: false, message: expect.stringContaining('first: chrysalis host retire a') },
    });
    for (const id of ['vm-1', 'vm-2', 'vm-3'])
      expect(await ask('allocation.place', place('vm', id, id, 'a').input)).toMatchObject({ ok: true });
    const retired = await h.http('POST', '/v1/hosts/a/state', { state: 'retiring', reason: 'ten years old' });
    expect([retired.status, retired.body.state]).toEqual([200, 'retiring']);
    expect(await ask('allocation.place', place('vm', 'vm-4', 'vm-4', 'a').input)).toMatchObject({
      ok: false,
      cause: { code: 'host.retiring' },
    });
    expect(await ask('allocation.place', place('move', 'mov-1', 'vm-1', 'a').input)).toMatchObject({
      ok: false,
      cause: { code: 'host.retiring' },
    });
    expect(await ask('allocation.list-on-host', { hostId: 'a', limit: 2 })).toEqual({
      ok: true,
      output: { vmIds: ['vm-1', 'vm-2'], more: true, generation: 5 },
    });
    expect(await ask('allocation.list-on-host', { hostId: 'a', expectEmpty: true })).toMatchObject({
      ok: false,
      cause: { code: 'host.not_empty', retriable: true, detail: { left: ['vm:vm-1', 'vm:vm-2', 'vm:vm-3'] } },
    });
    const known = [{ consumer: 'vm:vm-2', who: 'web-1 (vm-2)', why: 'no other host can take it' }];
    expect(await ask('allocation.list-on-host', { hostId: 'a', expectClosed: true, expectEmpty: true, left: known })).toMatchObject({
      cause: { message: 'a is not empty, 3 hold there: vm:vm-1; web-1 (vm-2): no other host can take it; vm:vm-3' },
    });
    const again = await h.http('POST', '/v1/hosts/a/state', { state: 'retiring', reason: 'once more' });
    expect([again.status, again.body.state]).toEqual([200, 'retiring']);
    const events = await h.running.service.store.read('host-a');
    expect(events.filter((e) => e.type.endsWith('state-changed.v1')).map((e) => e.data)).toMatchObject([
      { from: 'enabled', to: 'retiring' },
      { from: 'retiring', to: 'retiring', reason: 'once more' },
    ]);
    expect(await ask('allocation.list-on-host', { hostId: 'zz' })).toMatchObject({
      ok: false,
      cause: { code: 'host.unknown', message: expect.stringMatching(/^there is no host zz; there (is|are) a/) },
    });
  });

  test('the audit names holds of owners that have ended or were never heard of, with their age, and touches none', async () => {
    const { pool } = h.running.service;
    expect(await ask('allocation.place', place('move', 'mov-2', 'vm-1', 'b').input)).toMatchObject({ ok: true });
    await told('provisioning', 'chrysalis.provisioning.vm.requested.v1', { vmId: 'vm-1' });
    await told('provisioning', 'chrysalis.provisioning.vm.requested.v1', { vmId: 'vm-2' });
    await told('provisioning', 'chrysalis.provisioning.vm.deleted.v1', { vmId: 'vm-2' });
    await told('migration-templates', 'chrysalis.migration-templates.move.ended.v1', { moveId: 'mov-2' });
    await told('migration-templates', 'chrysalis.migration-templates.move.started.v1', { moveId: 'mov-2' }); // late: the end stays
    await h.eventually(async () => (await pool.query('select from resource_allocation.owners where ended')).rowCount === 2);
    const before = (await pool.query('select * from resource_allocation.ledger order by consumer')).rows;
    expect(await ask('allocation.audit-holds', {})).toEqual({ ok: true, output: { checked: 4, more: false, findings: [] } });
    const audit = await ask('allocation.audit-holds', { minAgeMs: 0 });
    const findings = (audit as unknown as { output: { findings: { consumer: string; why: string; ageMs: number; hostId: string }[] } })
      .output.findings;
    expect(findings.map((f) => [f.consumer, f.why, f.hostId])).toEqual([
      ['vm:vm-2', 'owner_ended', 'a'],
      ['vm:vm-3', 'owner_unknown', 'a'],
      ['move:mov-2', 'owner_ended', 'b'],
    ]);
    expect(findings.every((f) => f.ageMs >= 0 && f.ageMs < 60_000)).toBe(true);
    expect(await ask('allocation.audit-holds', { minAgeMs: 0, limit: 1 })).toMatchObject({
      output: { more: true, findings: [{ vmId: 'vm-2' }] },
    });
    await told('migration-templates', 'chrysalis.migration-templates.move.resumed.v1', { moveId: 'mov-2' }); // repaired: it has its hold again
    await h.eventually(async () => (await pool.query('select from resource_allocation.owners where ended')).rowCount === 1);
    expect((await pool.query('select * from resource_allocation.ledger order by consumer')).rows).toEqual(before);
  });
});
