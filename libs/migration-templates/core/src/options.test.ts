import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { capabilityNames, plugged, refText, resized, shownCpus, unplugged, type Capability, type VmTypeSpec } from '@chrysalis/contracts';
import { failsafe } from './characterisation.ts';
import { shapeOf } from './compile/shape.ts';
import { templateFromOption } from './from-option.ts';
import { options } from './options.ts';
import { templateFaults } from './template-faults.ts';
import { presented, type KnownHost } from './known.ts';
import { AT, facts, found, home, host, large, largeType, small, smallType, topology, vm } from './test/fixtures.ts';

const types = [smallType, largeType];
const hosts = [host('h1'), host('h2')];
const ids = (answer: ReturnType<typeof options>): string[] => answer.options.map((o) => o.id).sort();
const codes = (answer: ReturnType<typeof options>, id: string): string[] =>
  answer.refused.find((r) => r.id === id)!.blockers.map((b) => b.code);

describe('without authorisation', () => {
  const answer = options([vm()], types, hosts, new Map([['vm-1', failsafe('vm-1', AT)]]));

  test('only what touches nothing in the guest', () => {
    expect(ids(answer)).toEqual(['small@1/move/pre-copy/expose']);
    expect(answer.options[0]).toMatchObject({ needsAgent: false, hosts: ['h2'], move: true });
    expect(answer.source).toBe('failsafe');
  });
  test('each missing option has its reasons, with a remedy', () => {
    expect(codes(answer, 'large@1/move/pre-copy/expose')).toEqual(Array(5).fill('option.capability_unknown'));
    expect(codes(answer, 'small@1/move/restart/expose')).toContain('host.method_unsupported');
    expect(codes(answer, 'small@1/move/post-copy/expose')).toContain('host.method_unsupported');
    expect(codes(answer, 'small@1/morph/expose')).toContain('option.no_change');
    for (const r of answer.refused) for (const b of r.blockers) expect(b.remedy).toBeTruthy();
  });
});

describe('with what an agent found', () => {
  const known = new Map([['vm-1', found('vm-1')]]);
  test('small to large, moved or in place', () => {
    expect(ids(options([vm()], types, hosts, known))).toEqual([
      'large@1/morph/expose',
      'large@1/morph/hide',
      'large@1/move/pre-copy/expose',
      'large@1/move/pre-copy/hide',
      'small@1/move/pre-copy/expose',
    ]);
  });
  test('an absent capability names what would add it', () => {
    const c = found('vm-1', { 'filesystem-grow': 'absent' });
    const addable = { ...c, capabilities: c.capabilities.map((x) => (x.name === 'filesystem-grow' ? { ...x, addableBy: 'fs-tools' } : x)) };
    const refused = options([vm()], types, hosts, new Map([['vm-1', addable]])).refused.find(
      (r) => r.id === 'large@1/move/pre-copy/expose',
    )!;
    expect(refused.blockers).toEqual([
      {
        code: 'option.capability_absent',
        subject: 'vm-1',
        message: 'the guest lacks filesystem-grow: looked',
        remedy: 'deploy fs-tools under a grant',
      },
    ]);
  });
  test('below what was there at boot there is no way', () => {
    const big = vm({ type: largeType.ref, spec: large, topology: topology(large) });
    const answer = options([big], types, hosts, known);
    expect(codes(answer, 'small@1/move/pre-copy/expose')).toEqual(['option.boot_memory_fixed']);
  });
  describe('back to what it was, after it grew', () => {
    const grown = plugged(plugged(topology(), { kind: 'cpu', id: 'cpu1', coreId: 1 }), { kind: 'memory', id: 'dimm0', sizeMiB: 512 });
    const back = vm({
      type: largeType.ref,
      spec: large,
      topology: resized(unplugged(grown, { kind: 'nic', id: 'extra' }), 'data', 512),
    });
    const on = (cpuHotUnplug: boolean | undefined): KnownHost[] => [
      home('h1', back, { facts: facts('h1', cpuHotUnplug === undefined ? {} : { cpuHotUnplug }) }),
      host('h2'),
    ];
    test('CPUs and DIMMs go, the NIC comes back, the larger disk stays', () => {
      expect(ids(options([back], types, on(true), known))).toEqual(
        expect.arrayContaining(['small@1/morph/expose', 'small@1/move/pre-copy/expose', 'small@1/move/pre-copy/hide']),
      );
    });
    test.each([true, false])(
      'and there again, however often: each option that is offered makes a template without faults (%s)',
      (offlines) => {
        let now = vm();
        const journey = [largeType, smallType, largeType, largeType, smallType, smallType, largeType];
        for (const target of journey) {
          const hostsNow = [home('h1', now, { facts: facts('h1', { cpuHotUnplug: !offlines }) }), host('h2')];
          const offered = options([now], types, hostsNow, known).options.filter((o) => refText(o.targetType) === refText(target.ref));
          expect(offered.map((o) => o.id)).toContain(`${refText(target.ref)}/move/pre-copy/expose`);
          for (const option of offered) {
            const spec = templateFromOption(option, now.type, presented(now), target.spec);
            expect([option.id, templateFaults(spec, (ref) => types.find((t) => refText(t.ref) === ref)?.spec)]).toEqual([option.id, []]);
          }
          const move = offered.find((o) => o.move && o.newResources === 'expose')!;
          const made = templateFromOption(move, now.type, presented(now), target.spec);
          now = vm({ type: target.ref, spec: target.spec, topology: shapeOf(now, made, { offlines, target: target.spec }).after });
          expect(shownCpus(now.topology, now)).toBe(target.spec.vcpus.now);
        }
      },
    );
    test.each([false, undefined])('where a CPU cannot be unplugged (%s) it is offlined, and held still', (cpuHotUnplug) => {
      const full = { vcpu: 1, memoryMiB: 4096, diskMiB: 4096 };
      expect(ids(options([back], types, on(cpuHotUnplug), known))).toContain('small@1/move/pre-copy/expose');
      const [source] = on(cpuHotUnplug);
      const answer = options([back], types, [source!, host('h2', { free: full })], known);
      expect(codes(answer, 'small@1/move/pre-copy/expose')).toEqual(['host.capacity_exceeded']);
      expect(ids(options([back], types, [on(true)[0]!, host('h2', { free: full })], known))).toContain('small@1/move/pre-copy/expose');
    });
    test('not where the guest lacks what it takes, or nobody may look', () => {
      const lacks = new Map([['vm-1', found('vm-1', { 'cpu-hotunplug': 'absent', 'memory-hotunplug': 'unknown' })]]);
      expect(codes(options([back], types, on(true), lacks), 'small@1/move/pre-copy/expose')).toEqual([
        'option.capability_absent',
        'option.capability_unknown',
      ]);
      expect(ids(options([back], types, on(true), new Map()))).toEqual(['large@1/move/pre-copy/expose']);
    });
    test('not where no DIMMs make up the difference', () => {
      const between = { ref: { name: 'between', version: 1 }, spec: { ...small, memoryMiB: { now: 768, max: 4096 } } };
      expect(codes(options([back], [...types, between], on(true), known), 'between@1/move/pre-copy/expose')).toEqual([
        'option.memory_shrink_uneven',
      ]);
    });
  });
  test('every reason of every host', () => {
    const strange = host('h2', {
      state: 'draining',
      facts: facts('h2', { cpuModels: [], machineTypes: [], storagePools: [], networks: [] }),
      free: { vcpu: 0, memoryMiB: 0, diskMiB: 0 },
    });
    expect(codes(options([vm()], types, [host('h1'), strange], known), 'small@1/move/pre-copy/expose')).toEqual([
      'host.draining',
      'host.cpu_model_missing',
      'host.machine_type_missing',
      'host.networks_missing',
      'host.pools_missing',
      'host.capacity_exceeded',
    ]);
  });
  test('a set: one VM that cannot go keeps the option back, and says so', () => {
    const answer = options([vm(), vm({ vmId: 'vm-2', moveId: 'mov-9' })], types, hosts, known);
    expect(answer.source).toBe('mixed');
    expect(answer.options).toEqual([]);
    expect(codes(answer, 'small@1/move/pre-copy/expose')).toEqual(['vm.in_move']);
  });
  test('newest versions only, and the version the VM has', () => {
    const newer = [...types, { ref: { name: 'small', version: 2 }, spec: small }, { ref: { name: 'large', version: 2 }, spec: large }];
    const refs = new Set(ids(options([vm()], newer, hosts, known)).map((id) => id.split('/')[0]));
    expect([...refs]).toEqual(['large@2', 'small@1', 'small@2']);
  });
  test('hidden growth can be exposed later, in place', () => {
    const hidden = vm({ type: largeType.ref, spec: large, topology: { ...topology(small), nics: topology(small).nics.slice(0, 1) } });
    expect(ids(options([hidden], [largeType], hosts, known))).toContain('large@1/morph/expose');
  });
});

const spec = fc.record<VmTypeSpec>({
  vcpus: fc.integer({ min: 1, max: 6 }).map((now) => ({ now, max: 8 })),
  memoryMiB: fc.integer({ min: 1, max: 8 }).map((n) => ({ now: n * 256, max: 4096 })),
  disks: fc.subarray([
    { id: 'data', sizeMiB: 256 },
    { id: 'log', sizeMiB: 512 },
  ]),
  nics: fc.subarray([...small.nics]),
  cpuModel: fc.constantFrom('Westmere', 'Nehalem'),
  requiredTraits: fc.subarray(['gpu']),
});
const anyHost = (id: string) =>
  fc
    .record({
      state: fc.constantFrom('enabled' as const, 'cordoned' as const),
      traits: fc.subarray(['gpu']),
      free: fc.integer({ min: 0, max: 8 }),
    })
    .map(({ state, traits, free }) =>
      host(id, { state, facts: facts(id, { traits }), free: { vcpu: free, memoryMiB: free * 512, diskMiB: free * 256 } }),
    );
const capabilityStates = fc.array(fc.constantFrom<Capability['state']>('present', 'absent', 'unknown'), {
  minLength: capabilityNames.length,
  maxLength: capabilityNames.length,
});

test('whatever the fleet: what is offered unauthorised is offered authorised, and each id is answered once', () => {
  fc.assert(
    fc.property(spec, spec, anyHost('h1'), anyHost('h2'), capabilityStates, (a, b, h1, h2, states) => {
      const machine = vm({ spec: a, topology: topology(a) });
      const fleet = [
        { ref: machine.type, spec: a },
        { ref: { name: 'other', version: 1 }, spec: b },
      ];
      const agent = found('vm-1', Object.fromEntries(capabilityNames.map((n, i) => [n, states[i]])));
      const without = options([machine], fleet, [h1, h2], new Map());
      const withAgent = options([machine], fleet, [h1, h2], new Map([['vm-1', agent]]));
      const offered = new Set(ids(withAgent));
      expect(ids(without).every((id) => offered.has(id))).toBe(true);
      expect(without.options.every((o) => !o.needsAgent)).toBe(true);
      const all = [...withAgent.options, ...withAgent.refused].map((o) => o.id);
      expect(new Set(all).size).toBe(all.length);
      expect(all.length).toBe(without.options.length + without.refused.length);
    }),
    { numRuns: 500 },
  );
});
