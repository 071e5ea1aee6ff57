import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { hostTasks, type TaskDispatch, type TaskReport } from '@chrysalis/contracts';
import { pino } from 'pino';
import { Journal } from '../durable/journal.ts';
import { newVmState } from '../durable/vm-state.ts';
import { VmStates } from '../durable/vm-states.ts';
import { Executor } from './executor.ts';
import type { Handler } from './handler.ts';

const HOURS_2 = 7_200_000;

describe('the executor', () => {
  let dir: string;
  let states: VmStates;
  let lanes: VmStates;
  let journal: Journal;
  const sent: TaskReport[] = [];
  let ran = 0;
  const handler: Handler = {
    contract: hostTasks.destroyVm,
    turn: 'whole',
    admit: () => undefined,
    run: async () => (ran++, {}),
  };
  const executor = (aheadMs = 0): Executor =>
    new Executor({
      hostId: 'h1',
      handlers: [handler],
      states,
      lanes,
      journal,
      log: pino({ level: 'silent' }),
      now: () => Date.now() + aheadMs,
      controlNow: Date.now,
      begun: () => () => undefined,
      measured: () => undefined,
      failpoint: async () => undefined,
      send: (report) => void sent.push(report),
    });
  const dispatch = (workflowId: string, leftMs = 60_000): TaskDispatch => ({
    workflowId,
    task: 't',
    action: 'run',
    attempt: 1,
    kind: hostTasks.destroyVm.kind,
    executor: 'host:h1',
    group: 'agent-gateway',
    input: { vmId: 'vm-1', epoch: 1, deleteVolumes: true },
    token: 1,
    deadlineAt: new Date(Date.now() + leftMs).toISOString(),
    tenant: 'acme',
  });

  beforeEach(async () => {
    sent.length = 0;
    ran = 0;
    dir = await mkdtemp(join(tmpdir(), 'chrysalis-executor-'));
    journal = await Journal.open(join(dir, 'journal'));
    states = await VmStates.open(join(dir, 'vms'));
    lanes = await VmStates.open(join(dir, 'lanes'));
    await states.update('vm-1', () => ({ ...newVmState('vm-1', 'acme', 1), role: 'runner' }));
  });
  afterEach(async () => {
    await journal.close();
    await rm(dir, { recursive: true, force: true });
  });

  test.each([0, 61_000, HOURS_2, -HOURS_2])('counts a deadline from the receipt, with a clock that is %i ms ahead', async (aheadMs) => {
    await executor(aheadMs).take(dispatch('op-in-time'), undefined, 60_000);
    await executor(aheadMs).take(dispatch('op-late', -1), undefined, -1);
    await executor(aheadMs).take(dispatch('op-of-before')); // a gateway that says no more than the deadline
    expect(sent.map((r) => r.outcome)).toMatchObject([{ ok: true }, { ok: false, cause: { code: 'task.deadline_passed' } }, { ok: true }]);
    for (const { startedAt } of sent) expect(Math.abs(Date.parse(startedAt) - Date.now())).toBeLessThan(30_000);
    expect(ran).toBe(2);
  });

  test('sends a result that could not be written as soon as it can be, over the same connection, and does nothing twice', async () => {
    const full = Object.assign(new Error('no space left on device, write'), { code: 'ENOSPC' });
    const real = journal.add.bind(journal);
    let fails = 2;
    journal.add = (report) => (fails-- > 0 ? Promise.reject(full) : real(report));
    const given = executor();
    const first = given.take(dispatch('op-full'));
    await given.take(dispatch('op-full')); // it comes again meanwhile
    await first;
    expect([ran, sent.length, journal.unacknowledged().length]).toEqual([1, 1, 1]);
    await given.take(dispatch('op-full'));
    expect([ran, sent.length]).toEqual([1, 2]); // its first answer
  });

  test('names a full disk as the cause of what it could not begin', async () => {
    states.update = () => Promise.reject(Object.assign(new Error('no space left on device, write'), { code: 'ENOSPC' }));
    states.note = () => undefined;
    await executor().take(dispatch('op-full'));
    expect(sent[0]!.outcome).toMatchObject({ ok: false, cause: { code: 'host.disk_full', retriable: true } });
    expect(ran).toBe(0);
  });

  test('does not begin what was revoked, and says once what became of it', async () => {
    const given = executor();
    await given.revoked(dispatch('op-never-came'));
    await given.revoked(dispatch('op-never-came'));
    expect(sent.map((r) => r.outcome)).toMatchObject(Array(2).fill({ ok: false, cause: { code: 'grant.revoked', retriable: false } }));
    await given.take(dispatch('op-done'));
    await given.revoked(dispatch('op-done'));
    expect(sent.slice(2).map((r) => r.outcome.ok)).toEqual([true, true]); // it was done before
    expect(ran).toBe(1);
  });
});
