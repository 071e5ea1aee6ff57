import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { amountsOf, hostStates, type HostFacts, type InputOf, type resourceAllocationTasks, type VmTypeSpec } from '@chrysalis/contracts';
import { fold } from '@chrysalis/kernel';
import { place, requestOf } from '@chrysalis/placement';
import {
  evolveHost,
  hostDecider,
  hostView,
  initialHost,
  vmConsumer,
  type Host,
  type HostCommand,
} from '@chrysalis/resource-allocation-core';
import { compileMove } from './compile/compile-move.ts';
import { templateFromOption } from './from-option.ts';
import { presented, type KnownHost, type KnownType, type KnownVm } from './known.ts';
import { options } from './options.ts';
import { plan, type PlanInput } from './plan.ts';
import { AT, facts, found, guest, small, topology, vm } from './test/fixtures.ts';

// One rule, asked three times: what an option offers a plan finds fit, what a plan calls ready the hold accepts, and what the hold refuses
// was a blocker. Hosts are streams, folded once for all of them.

type Place = InputOf<typeof resourceAllocationTasks.place>;
type Fleet = Map<string, Host>;

const inventory = (total: number) =>
  fc
    .record({
      reserved: fc.integer({ min: 0, max: Math.floor(total / 4) }),
      ratioPerMille: fc.constantFrom(500, 1000, 1000, 1500),
      step: fc.constantFrom(1, 1, 1, 2, 512),
      max: fc.constantFrom(total, total, Math.ceil(total / 4)),
      min: fc.constantFrom(1, 1, 2),
    })
    .map((i) => ({ total, ...i }));
const most = <T>(all: T[]) => fc.oneof({ weight: 6, arbitrary: fc.constant(all) }, { weight: 1, arbitrary: fc.subarray(all) });
const hostFacts = (hostId: string): fc.Arbitrary<HostFacts> =>
  fc
    .record({
      cpuModels: most(['Westmere', 'Nehalem']),
      machineTypes: most(['pc-q35-7.2']),
      storagePools: most(['shared']),
      networks: most(['lan', 'wan']),
      traits: most(['gpu']),
      driver: fc.constantFrom('qemu' as const, 'qemu' as const, 'qemu' as const, 'simulated' as const),
      inventory: fc.record({ vcpu: inventory(8), memoryMiB: inventory(8192), diskMiB: inventory(4096) }),
    })
    .map((f) => facts(hostId, f));

const spec: fc.Arbitrary<VmTypeSpec> = fc.record({
  vcpus: fc.integer({ min: 1, max: 4 }).map((now) => ({ now, max: 8 })),
  memoryMiB: fc.integer({ min: 1, max: 8 }).map((n) => ({ now: n * 256, max: 8192 })),
  disks: fc.subarray([
    { id: 'data', sizeMiB: 256 },
    { id: 'log', sizeMiB: 512 },
  ]),
  nics: fc.subarray([small.nics[0]!, { id: 'extra', network: 'wan' }]),
  cpuModel: fc.constantFrom('Westmere', 'Nehalem'),
  requiredTraits: fc.subarray(['gpu']),
});

const ids = ['h1', 'h2', 'h3'] as const;
/** A host with others' VMs on it, as many as it took, in any state, its agent there or not. */
const hostState = (hostId: string) =>
  fc
    .record({
      facts: hostFacts(hostId),
      others: fc.array(spec.map(amountsOf), { maxLength: 3 }),
      state: fc.oneof({ weight: 4, arbitrary: fc.constant('enabled' as const) }, { weight: 1, arbitrary: fc.constantFrom(...hostStates) }),
      away: fc.oneof({ weight: 6, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.constant('it went') }),
    })
    .map((h) => ({ ...h, hostId }));
type Generated = Readonly<{ hosts: readonly { away: string | undefined }[]; fleet: Fleet; vms: KnownVm[]; target: KnownType }>;

const tell = (fleet: Fleet, hostId: string, command: HostCommand): boolean => {
  const host = fleet.get(hostId) ?? initialHost;
  const decided = hostDecider.decide(command, host);
  if (decided.ok) fleet.set(hostId, fold(evolveHost, host, decided.events));
  return decided.ok;
};
const holdFor = (hostId: string, vmId: string, amounts: ReturnType<typeof amountsOf>): HostCommand => ({
  type: 'hold',
  hostId,
  consumer: vmConsumer(vmId),
  vmId,
  amounts,
});

const worlds: fc.Arbitrary<Generated> = fc
  .record({
    hosts: fc.tuple(hostState('h1'), hostState('h2'), hostState('h3')),
    vms: fc.array(fc.record({ on: fc.constantFrom(...ids), spec }), { minLength: 1, maxLength: 3 }),
    target: spec,
  })
  .map(({ hosts, vms, target }) => {
    const fleet: Fleet = new Map();
    for (const h of hosts) {
      tell(fleet, h.hostId, { type: 'report-facts', facts: h.facts });
      h.others.forEach((amounts, i) => tell(fleet, h.hostId, holdFor(h.hostId, `other-${i}`, amounts)));
    }
    const made = vms.map((v, i) => {
      tell(fleet, v.on, holdFor(v.on, `vm-${i}`, amountsOf(v.spec)));
      return vm({ vmId: `vm-${i}`, hostId: v.on, spec: v.spec, topology: topology(v.spec) });
    });
    for (const h of hosts) tell(fleet, h.hostId, { type: 'change-state', hostId: h.hostId, to: h.state, reason: 'x' });
    return { hosts, fleet, vms: made, target: { ref: { name: 'other', version: 1 }, spec: target } };
  });

const known = ({ hosts }: Generated, fleet: Fleet): KnownHost[] =>
  [...fleet.values()].flatMap((host, i) => (host.status === 'known' ? [{ ...hostView(host), away: hosts[i]!.away, generation: 1 }] : []));
const planInput = (world: Generated, vms: readonly KnownVm[], hosts: readonly KnownHost[], move: boolean): PlanInput => ({
  planId: 'plan-1',
  at: AT,
  template: { ref: { name: 't', version: 1 }, spec: templateOf(vms[0]!, world.target, move), retired: false },
  target: world.target,
  vms,
  hosts,
  guests: new Map(vms.map((v) => [v.vmId, guest(v.vmId)])),
});
const templateOf = (of: KnownVm, target: KnownType, move: boolean, newResources: 'expose' | 'hide' = 'expose') =>
  templateFromOption(
    { targetType: target.ref, move, method: 'pre-copy', newResources, augmentation: [] },
    of.type,
    presented(of),
    target.spec,
  );

/** What the move's workflow asks of the ledger. */
const holdInput = (input: PlanInput, of: KnownVm, toHost: string): Place => {
  const move = { migrationId: 'mig-1', moveId: `mov-${of.vmId}`, template: input.template, guest: true, offlines: true };
  const { definition } = compileMove({ ...move, vm: of, target: { hostId: toHost, spec: input.target.spec } });
  return definition.tasks.find((t) => t.name === 'hold-target')!.input as Place;
};
/** What resource allocation does of it: the engine ranks, the host's stream decides. The codes of a refusal, or none. */
const hold = (world: Generated, fleet: Fleet, input: Place): string[] => {
  const { candidates, refused } = place(known(world, fleet), requestOf(input));
  if (candidates.length === 0) return refused.filter((r) => r.hostId === input.host).flatMap((r) => r.reasons.map((x) => x.code));
  const { consumer, vmId, amounts } = input;
  const hostId = candidates[0]!.hostId;
  const command: HostCommand = { type: 'hold', hostId, consumer, vmId, amounts };
  const decided = hostDecider.decide(command, fleet.get(hostId)!);
  tell(fleet, hostId, command);
  return decided.ok ? [] : [`the stream alone: ${decided.rejection.code}`];
};

describe('for any fleet, any VMs, any type', () => {
  test('what a plan calls ready its holds accept, one after another', () => {
    let ready = 0;
    fc.assert(
      fc.property(worlds, fc.boolean(), (world, move) => {
        const input = planInput(world, world.vms, known(world, world.fleet), move);
        const fleet = new Map(world.fleet);
        for (const planned of plan(input).moves.filter((m) => !m.blockers.some((b) => /^(host|plan)\./.test(b.code)))) {
          ready++;
          const of = world.vms.find((v) => v.vmId === planned.vmId)!;
          expect([planned.toHost, hold(world, fleet, holdInput(input, of, planned.toHost))]).toEqual([planned.toHost, []]);
        }
      }),
      { numRuns: 500 },
    );
    expect(ready).toBeGreaterThan(100);
  });

  test('what a hold refuses was a blocker, each reason of it', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(worlds, fc.boolean(), (world, move) => {
        const [of] = world.vms as [KnownVm];
        for (const target of ids.filter((id) => (id !== of.hostId) === move)) {
          const hosts = known(world, world.fleet).filter(({ facts: { hostId } }) => hostId === of.hostId || hostId === target);
          const input = planInput(world, [of], hosts, move);
          const refused = hold(world, new Map(world.fleet), holdInput(input, of, target));
          const blockers = plan(input).moves[0]!.blockers.filter((b) => b.subject === target);
          expect(blockers.map((b) => b.code)).toEqual(expect.arrayContaining(refused));
          refused.forEach((code) => seen.add(code));
        }
      }),
      { numRuns: 500 },
    );
    expect([...seen].filter((code) => code.startsWith('host.')).length).toBeGreaterThan(8); // each rule had its say
  });

  test('what an option offers a plan finds fit, on the same hosts', () => {
    let offered = 0;
    fc.assert(
      fc.property(worlds, (world) => {
        const [of] = world.vms as [KnownVm];
        const hosts = known(world, world.fleet);
        for (const option of options([of], [world.target], hosts, new Map([[of.vmId, found(of.vmId)]])).options) {
          const target = option.targetType.name === world.target.ref.name ? world.target : { ref: of.type, spec: of.spec };
          const template = {
            ...planInput(world, [of], hosts, option.move).template,
            spec: templateOf(of, target, option.move, option.newResources),
          };
          const [planned] = plan({ ...planInput(world, [of], hosts, option.move), target, template }).moves;
          expect(planned!.blockers.filter((b) => /^(host|plan)\./.test(b.code))).toEqual([]);
          expect(option.hosts).toContain(planned!.toHost);
          offered++;
        }
      }),
      { numRuns: 300 },
    );
    expect(offered).toBeGreaterThan(50);
  });
});
