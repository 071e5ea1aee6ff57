import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { resourceAllocationTasks as tasks, workflowEvents, type Outcome, type TaskDispatch } from '@chrysalis/contracts';
import { metaOfEvent, taskEffects, type TaskHandler } from '@chrysalis/service-kit';
import { random } from '@chrysalis/testing';
import { Place } from './tasks/place.ts';
import { Release } from './tasks/release.ts';
import { Swap } from './tasks/swap.ts';
import { Harness, hostFacts } from './test/harness.ts';
import { allocationsAreConserved } from './test/invariant.ts';

const slot = { vcpu: 1, memoryMiB: 512, diskMiB: 100 };
const double = { vcpu: 2, memoryMiB: 1024, diskMiB: 200 };

const handlers = new Map<string, TaskHandler>([
  [tasks.place.kind, { contract: tasks.place, handle: (input, ctx) => new Place().place(input as never, ctx) }],
  [tasks.release.kind, { contract: tasks.release, handle: (input, ctx) => new Release().release(input as never, ctx) }],
  [tasks.swap.kind, { contract: tasks.swap, handle: (input, ctx) => new Swap().swap(input as never, ctx) }],
]);

describe('allocations are conserved', () => {
  let h: Harness;
  let token = 0;
  const failpoints = join(mkdtempSync(join(tmpdir(), 'allocation-')), 'failpoints.json');
  const fail = (rules: object): void => writeFileSync(failpoints, JSON.stringify(rules));

  beforeAll(async () => {
    process.env['CHRYSALIS_FAILPOINTS'] = failpoints;
    h = await Harness.start(20);
    for (const f of [hostFacts('a', 4), hostFacts('b', 4), hostFacts('c', 6)]) await h.enrolled(f);
    await h.registered(3);
  });
  afterEach(() => allocationsAreConserved(h.running.service));
  afterAll(async () => {
    await h?.stop();
    rmSync(failpoints, { force: true });
    delete process.env['CHRYSALIS_FAILPOINTS'];
  });

  /** The handler as the consumer runs it, but at once and not one after another: as many instances would. */
  const perform = async (workflowId: string, kind: string, input: Record<string, unknown>): Promise<Outcome> => {
    const { service } = h.running;
    const dispatch: TaskDispatch = {
      workflowId,
      task: 'step',
      action: 'run',
      attempt: ++token,
      kind,
      executor: 'group:resource-allocation',
      group: 'resource-allocation',
      input,
      token,
      deadlineAt: '2099-01-01T00:00:00Z',
      tenant: 'main',
    };
    const event = {
      correlationid: workflowId,
      id: service.newId(),
      tenant: 'main',
      data: dispatch,
      type: workflowEvents.taskDispatched.type,
    };
    expect(metaOfEvent(service, event as never).tenant).toBe('main');
    const { handle: effect } = taskEffects(service, handlers);
    await service.store.transaction((tx) => effect(event as never, tx), { attempts: 100 });
    const reports = (await service.store.read(`task-${workflowId}`)).map((e) => e.data as TaskDispatch & { outcome: Outcome });
    return reports.find((r) => r.attempt === dispatch.attempt)!.outcome;
  };
  const place = (consumer: { kind: string; id: string }, vmId: string, amounts = slot, more = {}) =>
    perform(`w-${consumer.id}`, 'allocation.place', {
      consumer,
      vmId,
      amounts,
      cpuModel: 'Westmere',
      traits: [],
      networks: [],
      pools: [],
      ...more,
    });
  const release = (consumer: { kind: string; id: string }, workflow: string) =>
    perform(workflow, 'allocation.release', { consumer, vmId: consumer.id, reason: 'test' });
  const swap = (moveId: string, vmId: string, fromHost: string, toHost: string, amounts = slot) =>
    perform(`w-${moveId}`, 'allocation.swap', { moveId, vmId, fromHost, toHost, amounts });
  const ledger = () => h.ledger();
  const log = async (): Promise<number> =>
    Number(
      (await h.running.service.pool.query(`select count(*) from resource_allocation.events where stream_id like 'host-%'`)).rows[0].count,
    );

  test('200 at once ask for the last slot: one has it, and each other one is told why not', async () => {
    for (let i = 0; i < 3; i++) expect((await place({ kind: 'vm', id: `fill-${i}` }, `fill-${i}`, slot, { host: 'a' })).ok).toBe(true);
    const asked = Array.from({ length: 200 }, (_, i) => place({ kind: 'vm', id: `last-${i}` }, `last-${i}`, slot, { host: 'a' }));
    const outcomes = await Promise.all(asked);
    expect(outcomes.filter((o) => o.ok)).toHaveLength(1);
    const codes = new Set(outcomes.flatMap((o) => (o.ok ? [] : [o.cause.code])));
    expect([...codes]).toEqual(['host.capacity_exceeded']);
    expect(await ledger()).toHaveLength(4);
  });

  test('the same consumer asks 30 times at once: it holds once, and all get the same answer', async () => {
    const outcomes = await Promise.all(Array.from({ length: 30 }, () => place({ kind: 'vm', id: 'same' }, 'same')));
    expect(new Set(outcomes.map((o) => o.ok && (o.output as { hostId: string }).hostId)).size).toBe(1);
    expect((await ledger()).filter((l) => l.consumer === 'vm:same')).toHaveLength(1);
    await release({ kind: 'vm', id: 'same' }, 'w-end');
  });

  test('a failure between any two statements leaves what was; done again it succeeds', async () => {
    for (const l of await ledger()) await release({ kind: 'vm', id: l.consumer.slice(3) }, 'w-clear');
    await place({ kind: 'vm', id: 'v' }, 'v', slot, { host: 'a' });
    const steps: [string, () => Promise<Outcome>][] = [
      ['allocation:appended', () => place({ kind: 'move', id: 'm' }, 'v', double, { host: 'b' })],
      ['allocation:recorded', () => place({ kind: 'move', id: 'm' }, 'v', double, { host: 'b' })],
      ['task:allocation.place:after', () => place({ kind: 'move', id: 'm' }, 'v', double, { host: 'b' })],
      ['allocation.swap:between', () => swap('m', 'v', 'a', 'b', double)],
      ['allocation:appended', () => swap('m', 'v', 'a', 'b', double)],
      ['task:allocation.swap:after', () => swap('m', 'v', 'a', 'b', double)],
      ['allocation:appended', () => release({ kind: 'vm', id: 'v' }, 'w-del')],
      ['task:allocation.release:after', () => release({ kind: 'vm', id: 'v' }, 'w-del')],
    ];
    for (const [point, act] of steps) {
      const before = [await ledger(), await log()];
      fail({ [point]: { action: 'fail', code: 'test.injected' } });
      expect(await act()).toMatchObject({ ok: false, cause: { code: 'test.injected' } }); // it was reached
      expect([await ledger(), await log()]).toEqual(before);
      await allocationsAreConserved(h.running.service);
      fail({});
      if (point.includes('after')) expect((await act()).ok).toBe(true);
    }
    expect(await ledger()).toEqual([]);
  });

  test('random placements, moves, swaps, refusals and releases, twelve at a time; at the end nothing is held', async () => {
    const next = random(20261123);
    const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)]!;
    const life = async (i: number): Promise<void> => {
      const vm = { kind: 'vm', id: `r-${i}` };
      const placed = await place(vm, vm.id, pick([slot, double]));
      if (!placed.ok) return;
      let host = (placed.output as { hostId: string }).hostId;
      for (let n = 0; n < 2; n++) {
        const move = { kind: 'move', id: `r-${i}-${n}` };
        const amounts = pick([slot, double]);
        const target = await place(move, vm.id, amounts, { host: pick(['a', 'b', 'c']) });
        if (!target.ok) continue;
        const to = (target.output as { hostId: string }).hostId;
        if (next() < 0.4) expect((await release(move, `w-${move.id}`)).ok).toBe(true);
        else {
          expect((await swap(move.id, vm.id, host, to, amounts)).ok).toBe(true);
          host = to;
        }
      }
      if (next() < 0.5) await allocationsAreNeverOver();
      expect((await release(vm, `w-del-${i}`)).ok).toBe(true);
    };
    const allocationsAreNeverOver = async (): Promise<void> => {
      const over = `select from resource_allocation.hosts where vcpu_held > vcpu_capacity or memory_mib_held > memory_mib_capacity`;
      expect((await h.running.service.pool.query(over)).rowCount).toBe(0);
    };
    const work = Array.from({ length: 60 }, (_, i) => i);
    await Promise.all(
      Array.from({ length: 12 }, async () => {
        for (let i = work.shift(); i !== undefined; i = work.shift()) await life(i);
      }),
    );
    expect(await ledger()).toEqual([]);
  });
});
