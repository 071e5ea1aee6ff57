import { describe, expect, test } from '@jest/globals';
import { resources, type Amounts, type HostFacts } from '@chrysalis/contracts';
import fc from 'fast-check';
import { capacityOf, free, needOn, nothing, place, plus, shortages, verdicts, type HostView, type PlacementRequest } from './index.ts';
import { policies } from './policies.ts';

const inventory = (total: number, more: Partial<HostFacts['inventory']['vcpu']> = {}) => ({
  total,
  reserved: 0,
  ratioPerMille: 1000,
  min: 1,
  max: 1_000_000,
  step: 1,
  ...more,
});
const host = (hostId: string, over: Partial<Omit<HostView, 'facts'>> & { facts?: Partial<HostFacts> } = {}): HostView => ({
  state: 'enabled',
  held: nothing,
  vms: new Map(),
  ...over,
  facts: {
    hostId,
    address: '192.0.2.1:1',
    place: { site: 's', room: 'r', rack: 'k' },
    driver: 'simulated',
    accelerator: 'none',
    hypervisorVersion: '1',
    cpuModels: ['Westmere'],
    machineTypes: ['pc-q35-7.2'],
    traits: ['ssd'],
    storagePools: ['local'],
    networks: ['front', 'back'],
    inventory: { vcpu: inventory(8), memoryMiB: inventory(8192), diskMiB: inventory(100_000) },
    ...over.facts,
  },
});
const request = (over: Partial<PlacementRequest> = {}): PlacementRequest => ({
  vmId: 'vm-1',
  consumer: 'vm',
  amounts: { vcpu: 1, memoryMiB: 512, diskMiB: 1024 },
  cpuModel: 'Westmere',
  traits: [],
  networks: ['front'],
  pools: ['local'],
  ...over,
});
const codes = (hosts: HostView[], r: PlacementRequest): Record<string, string[]> =>
  Object.fromEntries(place(hosts, r).refused.map((x) => [x.hostId, x.reasons.map((y) => y.code)]));

describe('what is free', () => {
  test('the reserve is taken off before the ratio, and fractions are dropped', () => {
    const facts = host('a', {
      facts: { inventory: { ...host('a').facts.inventory, vcpu: inventory(7, { reserved: 2, ratioPerMille: 1500 }) } },
    }).facts;
    expect(capacityOf(facts).vcpu).toBe(7); // 5 * 1.5 = 7.5
    expect(free(facts, { vcpu: 3, memoryMiB: 0, diskMiB: 0 }).vcpu).toBe(4);
  });

  test('a reserve above the total leaves nothing', () => {
    const facts = host('a', { facts: { inventory: { ...host('a').facts.inventory, vcpu: inventory(2, { reserved: 3 }) } } }).facts;
    expect(capacityOf(facts).vcpu).toBe(0);
  });
});

describe('every refused host has all its reasons', () => {
  test('one host, many faults', () => {
    const bad = host('bad', { state: 'draining', away: 'it went', held: { vcpu: 8, memoryMiB: 8000, diskMiB: 0 } });
    const asked = request({ cpuModel: 'Skylake', machine: 'pc-q35-9.0', traits: ['gpu', 'ssd'], networks: ['storage'], pools: ['fast'] });
    expect(codes([bad], asked)).toEqual({
      bad: [
        'host.draining',
        'host.agent_away',
        'host.cpu_model_missing',
        'host.machine_type_missing',
        'host.traits_missing',
        'host.networks_missing',
        'host.pools_missing',
        'host.capacity_exceeded',
      ],
    });
  });

  test('capacity names every resource that is short, with what was asked and what is free', () => {
    const full = host('full', { held: { vcpu: 8, memoryMiB: 8000, diskMiB: 0 } });
    expect(place([full], request()).refused[0]!.reasons[0].evidence).toEqual({
      shortages: [
        { resource: 'vcpu', requested: 1, free: 0, capacity: 8 },
        { resource: 'memoryMiB', requested: 512, free: 192, capacity: 8192 },
      ],
    });
  });

  test('amounts between steps, below min, above max', () => {
    const odd = host('odd', {
      facts: {
        inventory: { vcpu: inventory(8, { min: 2 }), memoryMiB: inventory(8192, { step: 1000 }), diskMiB: inventory(9999, { max: 10 }) },
      },
    });
    expect(place([odd], request()).refused[0]!.reasons[0]).toMatchObject({
      code: 'host.amount_unsupported',
      evidence: { misfits: [{ resource: 'vcpu' }, { resource: 'memoryMiB' }, { resource: 'diskMiB' }] },
    });
  });

  test('a pin refuses all others; a pin that nobody knows is refused by name', () => {
    expect(codes([host('a'), host('b')], request({ host: 'b' }))).toEqual({ a: ['host.not_requested'] });
    expect(codes([host('a')], request({ host: 'z' }))).toEqual({ a: ['host.not_requested'], z: ['host.unknown'] });
    expect(codes([host('a')], request({ notHost: 'a' }))).toEqual({ a: ['host.excluded'] });
  });

  test('every policy has a verdict', () => {
    const all = verdicts(host('a', { state: 'lost' }), request());
    expect(all).toHaveLength(policies.length);
    expect(new Set(all.map((v) => v.policy)).size).toBe(policies.length);
    expect(all.filter((v) => !v.ok).map((v) => v.policy)).toEqual(['state']);
  });
});

describe('a move of a VM to the host it is on', () => {
  const small = { vcpu: 1, memoryMiB: 512, diskMiB: 1024 };
  const here = host('a', { state: 'cordoned', held: { vcpu: 7, memoryMiB: 512, diskMiB: 1024 }, vms: new Map([['vm-1', small]]) });
  const grown = request({ consumer: 'move', amounts: { vcpu: 2, memoryMiB: 1024, diskMiB: 512 } });

  test('needs the difference only, and may stay on a cordoned host', () => {
    expect(needOn(here, grown)).toEqual({ vcpu: 1, memoryMiB: 512, diskMiB: 0 });
    expect(place([here], grown).candidates).toMatchObject([{ hostId: 'a', free: { vcpu: 0 } }]);
  });
  test('another VM needs all of it and is refused', () => {
    expect(codes([here], { ...grown, vmId: 'vm-2' })).toEqual({ a: ['host.cordoned', 'host.capacity_exceeded'] });
  });
});

describe('ranking', () => {
  test('best fit: the host that will be fullest comes first; equal hosts by id', () => {
    const busy = host('busy', { held: { vcpu: 6, memoryMiB: 0, diskMiB: 0 } });
    const hosts = [host('c'), busy, host('b')];
    expect(place(hosts, request()).candidates.map((c) => c.hostId)).toEqual(['busy', 'b', 'c']);
  });
});

const amounts = fc.record({ vcpu: fc.nat(10), memoryMiB: fc.nat(10_000), diskMiB: fc.nat(120_000) });
const views = fc.uniqueArray(
  fc.record({
    id: fc.integer({ min: 1, max: 60 }),
    held: amounts,
    state: fc.constantFrom('enabled', 'cordoned', 'draining', 'lost'),
    away: fc.option(fc.constant('it went'), { nil: undefined }),
    ratio: fc.integer({ min: 500, max: 3000 }),
    step: fc.integer({ min: 1, max: 3 }),
    hasVm: fc.option(amounts, { nil: undefined }),
  }),
  { selector: (h) => h.id, maxLength: 20 },
);
const toView = (h: {
  id: number;
  held: Amounts;
  state: string;
  away: string | undefined;
  ratio: number;
  step: number;
  hasVm: Amounts | undefined;
}): HostView =>
  host(`h${h.id}`, {
    state: h.state as HostView['state'],
    away: h.away,
    held: h.hasVm ? plus(h.held, h.hasVm) : h.held,
    vms: h.hasVm ? new Map([['vm-1', h.hasVm]]) : new Map(),
    facts: {
      inventory: { vcpu: inventory(8, { ratioPerMille: h.ratio, step: h.step }), memoryMiB: inventory(8192), diskMiB: inventory(100_000) },
    },
  });
const requests = fc
  .record({
    amounts,
    consumer: fc.constantFrom('vm' as const, 'move' as const),
    host: fc.option(fc.constantFrom('h1', 'h2', 'h99'), { nil: undefined }),
  })
  .map((r) => request(r));

describe('for any fleet and request', () => {
  test('no candidate would be over its capacity; each host is either a candidate or refused with reasons', () => {
    fc.assert(
      fc.property(views, requests, (all, r) => {
        const hosts = all.map(toView);
        const { candidates, refused } = place(hosts, r);
        const byId = new Map(hosts.map((h) => [h.facts.hostId, h]));
        for (const c of candidates) {
          const h = byId.get(c.hostId)!;
          const after = plus(h.held, needOn(h, r));
          for (const x of resources) if (needOn(h, r)[x] > 0) expect(after[x]).toBeLessThanOrEqual(capacityOf(h.facts)[x]);
          expect(shortages(h.facts, h.held, needOn(h, r))).toEqual([]);
        }
        for (const x of refused) expect(x.reasons.length).toBeGreaterThan(0);
        const named = [...candidates.map((c) => c.hostId), ...refused.map((x) => x.hostId)].filter((id) => byId.has(id));
        expect(named.sort()).toEqual([...byId.keys()].sort());
      }),
      { numRuns: 1000 },
    );
  });

  test('the order of the hosts does not matter, and asking changes nothing', () => {
    fc.assert(
      fc.property(views, requests, (all, r) => {
        const hosts = all.map(toView);
        const before = structuredClone(hosts);
        expect(place([...hosts].reverse(), r)).toEqual(place(hosts, r));
        expect(hosts).toEqual(before);
      }),
      { numRuns: 300 },
    );
  });
});

test('a host without UEFI is refused where the VM boots by it, and by nothing else', () => {
  const refusals = (firmware: HostFacts['firmware'], wanted?: 'uefi') =>
    verdicts(host('a', { facts: firmware ? { firmware } : {} }), request(wanted ? { firmware: wanted } : {})).flatMap((v) =>
      v.ok ? [] : v.code,
    );
  expect([refusals(undefined), refusals(['bios'])]).toEqual([[], []]);
  expect([refusals(undefined, 'uefi'), refusals(['bios'], 'uefi')]).toEqual([['host.uefi_missing'], ['host.uefi_missing']]);
  expect(refusals(['bios', 'uefi'], 'uefi')).toEqual([]);
});

test('a host that carries no segments, or none of that size, is refused where the VM is on one', () => {
  const refusals = (segments: HostFacts['segments'], segmentMtu?: number) =>
    verdicts(host('a', { facts: segments ? { segments } : {} }), request(segmentMtu === undefined ? {} : { segmentMtu })).flatMap((v) =>
      v.ok ? [] : v.code,
    );
  expect(refusals(undefined)).toEqual([]);
  expect(refusals(undefined, 1450)).toEqual(['host.segments_missing']);
  expect(refusals({ mtu: 0, lacking: ['dnsmasq'] }, 1450)).toEqual(['host.segments_missing']);
  expect(refusals({ mtu: 1400, lacking: [] }, 1450)).toEqual(['host.mtu_too_small']);
  expect(refusals({ mtu: 1450, lacking: [] }, 1450)).toEqual([]);
});
