import { contractOf } from '@chrysalis/contracts';
import { describe, expect, test } from '@jest/globals';
import { handlersOf } from './projections/index.ts';
import type { Document } from './projection.ts';
import type { Recorded } from './recorded.ts';
import { corpus } from './test/corpus.ts';
import { restarted, restartsOf } from './test/restarts.ts';

const fold = (events: readonly Recorded[]): Record<string, Document> => {
  const rows: Record<string, Document> = {};
  for (const e of events)
    for (const change of (handlersOf.get(e.type) ?? []).flatMap((h) => h.changes(e))) {
      const key = `${change.table}/${change.id}`;
      rows[key] = change.evolve(rows[key]);
    }
  return rows;
};
const rows = fold(corpus());
const row = (table: string, id: RegExp): Document => Object.entries(rows).find(([k]) => k.startsWith(`${table}/`) && id.test(k))![1];

describe('projections', () => {
  test('each event has one, or is one of those that only the feed shows', () => {
    const feedOnly = [...contractOf.keys()].filter((t) => !handlersOf.has(t));
    expect(feedOnly.sort()).toEqual([
      'chrysalis.agent-gateway.console.closed.v1',
      'chrysalis.agent-gateway.console.opened.v1',
      'chrysalis.agent-gateway.host-agent.pools-observed.v1', // what comes of it its pool’s stream says
      'chrysalis.agent-gateway.task.bid.v1',
      'chrysalis.agent-gateway.task.heartbeat.v1',
      'chrysalis.agent-gateway.task.reported.v1',
      'chrysalis.agent-gateway.tenant-key.trusted.v1',
      'chrysalis.migration-templates.executor.announced.v1',
      'chrysalis.migration-templates.task.reported.v1',
      'chrysalis.provisioning.executor.announced.v1',
      'chrysalis.provisioning.task.reported.v1',
      'chrysalis.resource-allocation.executor.announced.v1',
      'chrysalis.resource-allocation.task.reported.v1',
      'chrysalis.workflow.limits.set.v1',
      'chrysalis.workflow.policy.disabled.v1',
      'chrysalis.workflow.policy.enabled.v1',
      'chrysalis.workflow.policy.established.v1',
      'chrysalis.workflow.policy.fired.v1',
      'chrysalis.workflow.policy.removed.v1',
      'chrysalis.workflow.template.published.v1',
      'chrysalis.workflow.template.retired.v1',
    ]);
  });

  test("a VM's row follows it from the request to its deletion", () => {
    const steps = corpus().filter((e) => e.stream.startsWith('vm-0199c0de-0000-7000-8000-000000000001'));
    const states = steps.map((_, n) => Object.values(fold(steps.slice(0, n + 1)))[0]!['state']);
    expect(states).toEqual(['requested', 'placed', 'running', 'moving', 'moving', 'moving', 'moving', 'running', 'deleting', 'deleted']);
    expect(Object.values(fold(steps.slice(0, 8)))[0]).toMatchObject({
      hostId: 'h2',
      epoch: 2,
      type: { name: 'large', version: 1 },
      lastMove: { outcome: 'succeeded' },
    });
  });

  test('a VM’s row tells its restart policy, and how far that has come, until somebody else has the VM', () => {
    const steps = restarted();
    for (const e of steps) expect(contractOf.get(e.type)!.schema.safeParse(e.data)).toMatchObject({ success: true });
    expect(steps.map((_, n) => Object.entries(fold(steps.slice(0, n + 1))).find(([k]) => k.startsWith('vms/'))![1]['restart'])).toEqual(
      restartsOf,
    );
  });

  test('what came of an action stands with its operation and cause while another one is asked for', () => {
    const steps = restarted();
    const n = steps.findIndex((e) => (e.data as { outcome?: string }).outcome === 'failed');
    const { workflowId } = steps[n]!.data as { workflowId: string };
    const again = { ...steps[n - 1]!, version: n + 2 };
    const vm = Object.entries(fold([...steps.slice(0, n + 1), again])).find(([k]) => k.startsWith('vms/'))![1];
    const cause = { code: 'host.fault', message: 'no' };
    expect(vm).toMatchObject({ lastAction: { action: 'start', outcome: 'failed', operation: workflowId, cause } });
    expect(vm['cause']).toBeUndefined();
  });

  test('what a VM boots from is pending until a start has it, and not while it is off', () => {
    const id = 'vm-0199c0de-0000-7000-8000-000000000001';
    const three = corpus().filter((e) => e.stream.startsWith(id)).slice(0, 3); // prettier-ignore
    const booted = three[2]!.data as { topology: { disks: readonly { id: string }[]; image: object }; topologyHash: string };
    const [root] = booted.topology.disks;
    const say = (n: number, name: string, data: object): Recorded => ({ ...three[2]!, version: n, type: `chrysalis.provisioning.vm.${name}.v1`, data: { vmId: id, ...data } }); // prettier-ignore
    const ended = (n: number, action: string, more: object = {}) => say(n, 'action-ended', { workflowId: 'op-1', action, outcome: 'succeeded', ...more }); // prettier-ignore
    const topology = { ...booted.topology, bootOrder: [root!.id] };
    const steps = [
      ...three,
      say(4, 'reconfigured', { bootOrder: [root!.id] }),
      ended(5, 'reboot'),
      ended(6, 'stop'),
      ended(7, 'start', { topology, topologyHash: booted.topologyHash }),
      say(8, 'reconfigured', { name: 'other' }),
      say(9, 'reconfigured', { bootOrder: [] }),
    ];
    for (const e of steps.slice(3)) expect(contractOf.get(e.type)!.schema.safeParse(e.data)).toMatchObject({ success: true });
    const pending = steps.map(
      (_, n) => Object.values(fold(steps.slice(0, n + 1)))[0]!['pending'] as { now: string; next: string }[] | undefined,
    );
    expect(pending.slice(3).map((p) => p?.map(({ now, next }) => `${now}>${next}`).join())).toEqual([`none>${root!.id}`, `none>${root!.id}`, undefined, undefined, undefined, `${root!.id}>none`]); // prettier-ignore
  });

  test('what a host sees has the reason of this state, not of one before', () => {
    const seen = corpus().find((e) => e.type === 'chrysalis.agent-gateway.vm.observed.v1')!;
    const at = (observed: object): Recorded => ({ ...seen, data: { ...(seen.data as object), observed } }) as Recorded;
    const since = '2026-01-01T00:00:00.000Z';
    const cause = { code: 'vm.shut_down', message: 'off' };
    const steps = [at({ state: 'shut-down', since, resets: 0, changes: 1, cause }), at({ state: 'running', since, resets: 0, changes: 2 })];
    const [off] = Object.values(fold(steps.slice(0, 1)));
    const [on] = Object.values(fold(steps));
    expect(off).toHaveProperty('cause');
    expect(on).toMatchObject({ state: 'running' });
    expect(on).not.toHaveProperty('cause');
  });

  test('an operation tells what happened, how far it came, and the first cause', () => {
    expect(row('operations', /op-/)).toMatchObject({
      kind: 'workflow',
      name: 'provision-vm',
      state: 'undone',
      progress: { done: 2, total: 15, unit: 'tasks' },
      cause: { code: 'qemu.start_failed' },
    });
    expect(row('operations', /mig-/)).toMatchObject({
      kind: 'migration',
      state: 'succeeded',
      progress: { done: 1, total: 1, unit: 'moves' },
    });
  });

  test('a swap is the end of the move’s hold and the start of the VM’s', () => {
    expect(row('allocations', /h2\/move:/)).toMatchObject({ state: 'released' });
    expect(row('allocations', /h2\/vm:/)).toMatchObject({ state: 'held', vcpu: 2, memoryMiB: 1024, diskMiB: 512 });
  });

  test('a pool has the room, the settings and the sum that were told last; a swap is the VM’s', () => {
    expect(row('pools', /pool-/)).toMatchObject({ name: 'shared', usedMiB: 512, settings: { ratioPerMille: 2000 }, heldMiB: 2048 });
    expect(row('pool_holds', /\/move:/)).toMatchObject({ state: 'released' });
    expect(row('pool_holds', /\/vm:/)).toMatchObject({ state: 'held', sizeMiB: 2048 });
    expect(row('pool_holds', /\/volume:/)).toMatchObject({ state: 'released', reason: 'deleted' });
  });

  test('the end of an older session does not disconnect a newer one', () => {
    const [enrolled, lost] = corpus().filter((e) => e.stream === 'host-agent-h1') as [Recorded<object>, Recorded<object>];
    const again = { ...enrolled, version: 2, data: { ...enrolled.data, sessionId: 'newer' } };
    expect(fold([enrolled, again, { ...lost, version: 3 }])['host_agents/h1']).toMatchObject({ connected: true, sessionId: 'newer' });
    expect(fold([enrolled, lost])['host_agents/h1']).toMatchObject({ connected: false });
  });

  test('a second agent is shown until the host is released', () => {
    const [enrolled, , refused, released] = corpus().filter((e) => e.stream === 'host-agent-h1') as Recorded<object>[];
    expect(fold([enrolled!, refused!])['host_agents/h1']).toMatchObject({
      connected: true,
      refused: { code: 'agent.identity_conflict', address: '10.77.0.12' },
    });
    expect(fold([enrolled!, refused!, released!])['host_agents/h1']).not.toHaveProperty('refused');
  });

  test('a task that is undone at one executor, and not yet at another, is not undone', () => {
    const undone = corpus().find((e) => e.type === 'chrysalis.workflow.task.compensated.v1') as Recorded<{
      workflowId: string;
      task: string;
    }>;
    const { workflowId, task } = undone.data;
    const first = { ...undone, data: { ...undone.data, left: 1 } };
    const of = (events: readonly Recorded[]) => {
      const seen = fold(events);
      return [seen[`tasks/${workflowId}/${task}`]!['state'], (seen[`workflows/${workflowId}`]!['counts'] as Document)['compensated']];
    };
    expect(of([first])).toEqual(['compensating', 0]);
    expect(of([first, undone])).toEqual(['compensated', 1]);
  });

  test('no row has a grant or a token of a peer in it', () => {
    expect(JSON.stringify(rows)).not.toContain('eyJhbGciOi');
    expect(JSON.stringify(rows)).not.toContain('peerToken":"');
  });
});
