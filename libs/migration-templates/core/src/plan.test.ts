import { describe, expect, test } from '@jest/globals';
import { migrationTemplatesEvents as events, topologyHash, type HostState } from '@chrysalis/contracts';
import { given } from '@chrysalis/testing/decider';
import { characterisationDecider, failsafe, fromAgent, fromQemuGa } from './characterisation.ts';
import { shapeOf } from './compile/shape.ts';
import { templateFromOption } from './from-option.ts';
import { options } from './options.ts';
import { optionsQueryDecider, type OptionsQueryEvent } from './options-query.ts';
import { byId } from './fit.ts';
import { blockersNow, outdated, plan, type PlanInput } from './plan.ts';
import { presented } from './known.ts';
import { AT, facts, found, guest, home, host, large, largeType, small, smallType, topology, vm } from './test/fixtures.ts';

const option = { targetType: largeType.ref, move: true, method: 'pre-copy' as const, newResources: 'expose' as const, augmentation: [] };
const script = { kind: 'guest-script' as const, name: 'quiesce', script: 'true', timeoutMs: 1000 };
const input = (change: Partial<PlanInput> = {}): PlanInput => ({
  planId: 'plan-1',
  at: AT,
  template: {
    ref: { name: 'grow', version: 2 },
    spec: templateFromOption(option, smallType.ref, small, large, { preMigration: [script] }),
    retired: false,
  },
  target: largeType,
  vms: [vm()],
  hosts: [host('h1'), host('h2')],
  guests: new Map([['vm-1', guest('vm-1')]]),
  ...change,
});
const codes = (i: PlanInput): string[] => plan(i).moves.flatMap((m) => m.blockers.map((b) => b.code));

describe('a plan', () => {
  test('shows each step of each VM, and what it was made from', () => {
    const made = plan(input());
    expect(made.basis).toEqual({ template: { name: 'grow', version: 2 }, vmVersions: { 'vm-1': 3 }, hostGenerations: { h1: 1, h2: 1 } });
    expect(made.moves[0]).toMatchObject({ fromHost: 'h1', toHost: 'h2', fromType: smallType.ref, toType: largeType.ref, blockers: [] });
    expect(made.moves[0]!.steps.length).toBe(24);
  });
  test('every blocker at once', () => {
    const moving = vm({ moveId: 'mov-9', type: { name: 'other', version: 1 } });
    const template = { ...input().template, retired: true };
    const away = host('h2', { state: 'draining', facts: facts('h2', { cpuModels: [] }) });
    expect(codes(input({ vms: [moving], template, hosts: [host('h1'), away], guests: new Map() }))).toEqual([
      'template.retired',
      'plan.type_differs',
      'vm.in_move',
      ...Array(6).fill('option.capability_unknown'),
      'placement.no_host',
      'host.draining',
      'host.cpu_model_missing',
    ]);
  });
  test('in a large fleet without any host that fits each reason comes with the first hosts that have it, and how many more', () => {
    const busy = Array.from({ length: 2_000 }, (_, i) =>
      host(`b${String(i).padStart(4, '0')}`, { state: i < 6 ? 'draining' : 'cordoned' }),
    );
    const { blockers } = plan(input({ hosts: [host('h1'), ...busy] })).moves[0]!;
    expect(blockers.map((b) => `${b.code} ${b.subject}`)).toEqual([
      'placement.no_host vm-1',
      ...[0, 1, 2, 3, 4].map((i) => `host.draining b000${i}`),
      ...['b0006', 'b0007', 'b0008', 'b0009', 'b0010'].map((id) => `host.cordoned ${id}`),
      'host.draining 1 more',
      'host.cordoned 1989 more',
    ]);
    expect(blockers.at(-2)!.message).toBe('the same is so of 1 more host');
  });
  test('a guest that is off is a blocker, whatever else is well', () => {
    const observed = { state: 'shut-down' as const, since: AT, resets: 0, changes: 1 };
    expect(codes(input({ vms: [vm({ observed })] }))).toEqual(['vm.shut_down']);
    expect(codes(input({ vms: [vm({ observed: { ...observed, state: 'running' } })] }))).toEqual([]);
  });
  test('scripts need what runs them', () => {
    expect(
      codes(input({ guests: new Map([['vm-1', guest('vm-1', { characterisation: found('vm-1', { 'run-script': 'absent' }) })]]) })),
    ).toEqual(['option.capability_absent']);
  });
  test('what one VM takes the next no longer finds', () => {
    const both = [vm(), vm({ vmId: 'vm-2' })];
    const known = new Map(both.map((v) => [v.vmId, guest(v.vmId)]));
    const tight = host('h2', { free: { vcpu: 3, memoryMiB: 4096, diskMiB: 4096 } });
    const made = plan(input({ vms: both, hosts: [host('h1'), tight], guests: known }));
    expect(made.moves.map((m) => m.blockers.map((b) => b.code))).toEqual([[], ['placement.no_host', 'host.capacity_exceeded']]);
    const roomy = plan(
      input({
        vms: both,
        hosts: [host('h1'), tight, host('h3', { free: { vcpu: 2, memoryMiB: 2048, diskMiB: 2048 } })],
        guests: known,
      }),
    );
    expect(roomy.moves.map((m) => m.toHost)).toEqual(['h3', 'h2']); // what will be fullest first
  });
  test('a morph stays, on a cordoned host too, and holds the difference', () => {
    const template = { ...input().template, spec: { ...input().template.spec, migration: [] } };
    const there = (free: { vcpu: number }, state: HostState = 'cordoned') =>
      home('h1', vm(), { state, free: { memoryMiB: 512, diskMiB: 256, ...free } });
    expect(plan(input({ template, hosts: [there({ vcpu: 1 })] })).moves[0]).toMatchObject({ toHost: 'h1', blockers: [] });
    expect(codes(input({ template, hosts: [there({ vcpu: 0 })] }))).toEqual(['host.capacity_exceeded']);
    for (const state of ['draining', 'retiring', 'lost'] as const)
      expect(codes(input({ template, hosts: [there({ vcpu: 1 }, state)] }))).toEqual([`host.${state}`]);
  });
  test('a host whose agent is away, at either end, is a blocker with its remedy, for a move, a morph and an option', () => {
    const away = 'no heartbeat for 10000 ms';
    const blocker = { code: 'host.agent_away', subject: 'h2', remedy: 'bring h2 back, or choose another host' };
    expect(plan(input({ hosts: [host('h1'), host('h2', { away })] })).moves[0]!.blockers).toMatchObject([
      { code: 'placement.no_host' },
      blocker,
    ]);
    expect(codes(input({ hosts: [host('h1', { away }), host('h2')] }))).toEqual(['host.agent_away']); // h2 would take it
    const template = { ...input().template, spec: { ...input().template.spec, migration: [] } };
    expect(codes(input({ template, hosts: [host('h1', { away })] }))).toEqual(['host.agent_away']);
    const offered = (hosts: Parameters<typeof options>[2]): string[] =>
      options([vm()], [smallType, largeType], hosts, new Map([['vm-1', found('vm-1')]])).options.map((o) => o.id);
    expect(offered([host('h1'), host('h2', { away })])).not.toContain('large@1/move/pre-copy/expose');
    expect(offered([host('h1', { away }), host('h2')])).toEqual([]);
    expect(plan(input({ hosts: [host('h1'), host('h2', { away }), host('h3')] })).moves[0]).toMatchObject({ toHost: 'h3', blockers: [] });
  });
  test('at its start the engine is asked again, of the hosts that were chosen, for all its moves together', () => {
    const both = [vm(), vm({ vmId: 'vm-2' })];
    const asked = input({
      vms: both,
      hosts: [host('h1'), host('h2'), host('h3')],
      guests: new Map(both.map((v) => [v.vmId, guest(v.vmId)])),
    });
    const { moves } = plan(asked);
    expect(moves.map((m) => [m.toHost, m.blockers])).toEqual([['h2', []], ['h2', []]]); // prettier-ignore
    const now = (h2: Parameters<typeof host>[1]): string[] =>
      blockersNow({ moves, template: asked.template.spec, target: largeType }, new Map(both.map((v) => [v.vmId, v])), byId([host('h1'), host('h2', h2), host('h3')]))
        .map((b) => `${b.vmId} ${b.code} ${b.subject}`); // prettier-ignore
    expect(now({})).toEqual([]);
    expect(now({ state: 'draining' })).toEqual(['vm-1 host.draining h2', 'vm-2 host.draining h2']);
    expect(now({ free: { vcpu: 3, memoryMiB: 4096, diskMiB: 4096 } })).toEqual(['vm-2 host.capacity_exceeded h2']);
    expect(now({ facts: facts('h2', { driver: 'simulated' }) })).toEqual(['vm-1 host.driver_differs h2', 'vm-2 host.driver_differs h2']);
  });
  test('what changed since', () => {
    const made = plan(input());
    expect(outdated(made, new Map([['vm-1', { version: 3 }]]), { latest: 2, retired: false })).toEqual([]);
    expect(outdated(made, new Map([['vm-1', { version: 4 }]]), { latest: 3, retired: false })).toEqual([
      { what: 'vm-1', planned: 3, now: 4 },
      { what: 'template grow', planned: 2, now: 3 },
    ]);
    expect(outdated(made, new Map(), { latest: 2, retired: true })).toEqual([
      { what: 'vm-1', planned: 3, now: 'gone' },
      { what: 'template grow', planned: 2, now: 'retired' },
    ]);
  });
});

describe('characterisation', () => {
  const recorded = (c: ReturnType<typeof found>) => ({ type: events.vmCharacterised.type, data: { characterisation: c } }) as const;
  test('is kept once, and never for another VM', () => {
    const c = found('vm-1');
    given(characterisationDecider)
      .when({ vmId: 'vm-1', characterisation: c })
      .then([recorded(c)]);
    given(characterisationDecider, [recorded(c)])
      .when({ vmId: 'vm-1', characterisation: c })
      .thenNothing();
    given(characterisationDecider).when({ vmId: 'vm-2', characterisation: c }).thenRejected('characterisation.foreign_vm');
  });
  test('what an agent said nothing of is unknown', () => {
    const c = fromAgent({ ...found('vm-1'), capabilities: [] });
    expect(c.capabilities.map((x) => x.state)).toEqual(Array(8).fill('unknown'));
  });
  test('qemu-ga alone shows a part', () => {
    const c = fromQemuGa(
      'vm-1',
      [
        { name: 'guest-set-vcpus', enabled: true },
        { name: 'guest-exec', enabled: false },
      ],
      AT,
    );
    const states = Object.fromEntries(c.capabilities.map((x) => [x.name, x.state]));
    expect(states).toMatchObject({ 'cpu-hotplug': 'present', 'run-script': 'absent', 'filesystem-grow': 'unknown' });
    const offered = options([vm()], [smallType, largeType], [host('h1'), host('h2')], new Map([['vm-1', c]])).options.map((o) => o.id);
    expect(offered).toEqual(['small@1/move/pre-copy/expose']);
  });
});

test('an options query: asked, answered once; a failure after the answer changes nothing', () => {
  const queryId = 'qry-1';
  const asked = { type: events.optionsQueried.type, data: { queryId, vmIds: ['vm-1'] } } satisfies OptionsQueryEvent;
  const answer = options([vm()], [smallType], [host('h1'), host('h2')], new Map([['vm-1', failsafe('vm-1', AT)]]));
  const answered = { type: events.optionsAnswered.type, data: { queryId, ...answer } } satisfies OptionsQueryEvent;
  given(optionsQueryDecider)
    .when({ kind: 'ask', queryId, vmIds: ['vm-1'] })
    .then([asked]);
  given(optionsQueryDecider, [asked]).when({ kind: 'answer', queryId, answer }).then([answered]);
  given(optionsQueryDecider, [asked, answered]).when({ kind: 'answer', queryId, answer }).thenNothing();
  given(optionsQueryDecider, [asked, answered])
    .when({ kind: 'fail', queryId, cause: { code: 'x.y', message: 'z' } })
    .thenNothing();
  given(optionsQueryDecider).when({ kind: 'answer', queryId, answer }).thenRejected('options-query.unknown');
});

test('what was hidden comes out of the same option as a template of plugs', () => {
  const t = { ...topology(small), nics: topology(small).nics.slice(0, 1) };
  const hidden = vm({ type: largeType.ref, spec: large, topology: t, topologyHash: topologyHash(t) });
  const spec = templateFromOption({ ...option, move: false }, largeType.ref, presented(hidden), large);
  expect(spec.hotPlug.map((s) => s.kind)).toEqual(['plug-cpus', 'plug-memory', 'grow-disk']);
  expect(spec.hotUnplug).toEqual([]);
});

test('what is hidden is told from what was offlined before: the CPUs that its hardware has left over come online', () => {
  const t = topology(large);
  const hidden = vm({ type: largeType.ref, spec: large, topology: t, topologyHash: topologyHash(t), shows: { vcpus: 1 } });
  const spec = templateFromOption({ ...option, move: false }, largeType.ref, presented(hidden), large);
  expect(spec.hotPlug.map((s) => s.kind)).toEqual(['plug-cpus']);
  expect(shapeOf(hidden, spec, { offlines: true, target: large })).toMatchObject({ plugs: [], shown: { before: 1, after: 2 } });
});
