import { describe, expect, test } from '@jest/globals';
import type { SetPolicy } from '@chrysalis/contracts';
import fc from 'fast-check';
import { chooseHosts } from '../choose-hosts.ts';
import { templateFromOption } from '../from-option.ts';
import { AT, facts, home, host, small, smallType, vm } from '../test/fixtures.ts';
import type { PlanInput } from '../plan.ts';
import { nothingAround, type Route } from './caps.ts';
import { orderOf } from './order.ts';
import { candidates, type SetState } from './pace.ts';
import { Turns } from './turns.ts';

const none = new Set<string>();
const limit = fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined });
const limits = fc.record({ perSource: limit, perTarget: limit, perHost: limit, perRack: limit, fleet: limit }) as fc.Arbitrary<
  NonNullable<SetPolicy['limits']>
>;
const rackOf = new Map(['h1', 'h2', 'h3', 'h4'].map((h, i) => [h, `k${i % 2}`]));
const policyFor = (ids: readonly string[]): fc.Arbitrary<SetPolicy> =>
  fc
    .record({
      limits,
      canary: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
      waves: fc.option(fc.record({ first: fc.integer({ min: 1, max: 3 }), growth: fc.integer({ min: 1, max: 3 }) }), { nil: undefined }),
      waits: fc.array(fc.nat(100), { maxLength: 3 }),
    })
    .map(({ waits, ...policy }) => {
      const after = Object.fromEntries(
        waits.flatMap((n) => (ids.length > 1 && n % ids.length > 0 ? [[ids[n % ids.length]!, [ids[(n % ids.length) - 1]!]]] : [])),
      );
      return { ...policy, after } as SetPolicy;
    });

/** As the set itself goes, where each move takes as long: all that may begin begins, and ends before the next turn. */
const turnsGone = (s: SetState): number => {
  let turns = 0;
  let moves: SetState['moves'] = [];
  for (;;) {
    const next = candidates({ ...s, moves }, { ...nothingAround, rackOf }, none);
    let begun = moves;
    for (const vmId of next) begun = [...begun, { vmId, state: 'running' as const }];
    if (begun.length === moves.length) return turns;
    moves = begun.map((m) => ({ ...m, state: 'succeeded' as const }));
    turns++;
  }
};

test('a set takes as many turns as it is said to: what is reckoned with is how it goes', () => {
  const route = fc.record({ fromHost: fc.constantFrom('h1', 'h2'), toHost: fc.constantFrom('h1', 'h2', 'h3', 'h4') });
  fc.assert(
    fc.property(
      fc.array(route, { minLength: 1, maxLength: 14 }).chain((routes: Route[]) =>
        fc.record({
          routes: fc.constant(routes),
          concurrency: fc.integer({ min: 1, max: 6 }),
          policy: policyFor(routes.map((_, i) => `vm-${i}`)),
        }),
      ),
      ({ routes, concurrency, policy }) => {
        const moves = routes.map((r, i) => ({ vmId: `vm-${i}`, ...r }));
        const order = orderOf(
          moves.map((m) => m.vmId),
          policy.after,
        );
        if (!order.ok) throw new Error('a cycle');
        const turns = new Turns({ concurrency, policy, rackOf }, moves.length);
        for (const id of order.vmIds)
          turns.take(
            id,
            moves.find((m) => m.vmId === id)!,
          );
        expect(turns.count).toBe(turnsGone({ plan: { moves } as unknown as SetState['plan'], concurrency, policy, moves: [] }));
      },
    ),
    { numRuns: 500 },
  );
});

describe('hosts for a set', () => {
  const option = { targetType: smallType.ref, move: true, method: 'pre-copy' as const, newResources: 'expose' as const, augmentation: [] };
  const template = { ref: { name: 'go', version: 1 }, spec: templateFromOption(option, smallType.ref, small, small), retired: false };
  const asked = (n: number, hosts: PlanInput['hosts'], run?: PlanInput['run']): PlanInput => ({
    ...{ planId: 'plan-1', at: AT, template, target: smallType, guests: new Map(), hosts, run },
    vms: Array.from({ length: n }, (_, i) => vm({ vmId: `vm-${i}` })),
  });
  const room = (vcpu: number) => ({ free: { vcpu, memoryMiB: 8192, diskMiB: 90_000 } });
  const hostsOf = (input: PlanInput): string[] => input.vms.map((v) => chooseHosts(input).get(v.vmId)!.hostId);
  const fleet = [home('h1', vm()), host('h2', room(6)), host('h3', room(7)), host('h4', room(8))];

  test('one is filled before the next; with a limit into each they take as many at once as that lets them, the best host first', () => {
    expect(hostsOf(asked(6, fleet))).toEqual(Array(6).fill('h2'));
    expect(hostsOf(asked(6, fleet, { concurrency: 6, policy: { limits: { perTarget: 2 } } }))).toEqual([
      'h2',
      'h2',
      'h3',
      'h3',
      'h4',
      'h4',
    ]);
    expect(hostsOf(asked(6, fleet, { concurrency: 2, policy: { limits: { perTarget: 2 } } }))).toEqual(Array(6).fill('h2'));
    expect(hostsOf(asked(4, fleet, { concurrency: 4, policy: { limits: { perTarget: 1, perSource: 1 } } }))).toEqual(Array(4).fill('h2'));
  });

  test('the smallest set, and one in which nobody finds a host', () => {
    const run = { concurrency: 5, policy: { limits: { perTarget: 1 } } };
    expect(hostsOf(asked(1, fleet, run))).toEqual(['h2']);
    expect(
      chooseHosts(asked(2, [host('h1')], run))
        .get('vm-1')!
        .blockers.map((b) => b.code),
    ).toContain('placement.no_host');
  });

  test('a rack that is full sends them to another', () => {
    const far = (id: string, vcpu: number) =>
      host(id, { ...room(vcpu), facts: facts(id, { place: { site: 'lab', room: 'r1', rack: 'k2' } }) });
    const racks = [
      host('h1', { facts: facts('h1', { place: { site: 'lab', room: 'r1', rack: 'k0' } }) }),
      host('h2', room(6)),
      host('h3', room(7)),
      far('h4', 8),
    ];
    expect(hostsOf(asked(2, racks, { concurrency: 2, policy: { limits: { perRack: 2 } } }))).toEqual(['h2', 'h2']);
    const vms = [vm({ vmId: 'vm-0' }), vm({ vmId: 'vm-1', hostId: 'h5' })];
    const two = [...racks, host('h5', { facts: facts('h5', { place: { site: 'lab', room: 'r1', rack: 'k3' } }) })];
    expect(hostsOf({ ...asked(2, two, { concurrency: 2, policy: { limits: { perRack: 1 } } }), vms })).toEqual(['h2', 'h4']);
  });

  const fleets = fc.array(fc.integer({ min: 0, max: 8 }), { minLength: 1, maxLength: 4 });
  test('never more VMs without a host than by the ranking alone, and never more turns; without limits of hosts the ranking’s own', () => {
    fc.assert(
      fc.property(
        fleets,
        fc.integer({ min: 1, max: 12 }).chain((n) =>
          fc.record({
            n: fc.constant(n),
            concurrency: fc.integer({ min: 1, max: 8 }),
            policy: policyFor(Array.from({ length: n }, (_, i) => `vm-${i}`)),
          }),
        ),
        (free, { n, concurrency, policy }) => {
          const hosts = [host('h1'), ...free.map((vcpu, i) => host(`h${i + 2}`, room(vcpu)))];
          const [byRank, chosen] = [chooseHosts(asked(n, hosts)), chooseHosts(asked(n, hosts, { concurrency, policy }))];
          const blocked = (all: typeof chosen): number => [...all.values()].filter((c) => c.blockers.length > 0).length;
          expect(blocked(chosen)).toBeLessThanOrEqual(blocked(byRank));
          const racks = new Map(hosts.map((h) => [h.facts.hostId, 'lab/r1/k1']));
          const turns = (all: typeof chosen): number => {
            const t = new Turns({ concurrency, policy, rackOf: racks }, n);
            const order = orderOf([...Array(n).keys()].map((i) => `vm-${i}`), policy.after); // prettier-ignore
            for (const id of order.ok ? order.vmIds : []) {
              const c = all.get(id)!;
              t.take(id, c.blockers.length > 0 ? undefined : { fromHost: 'h1', toHost: c.hostId });
            }
            return t.count;
          };
          if (blocked(chosen) === blocked(byRank)) expect(turns(chosen)).toBeLessThanOrEqual(turns(byRank));
          const { perTarget: _t, perHost: _h, perRack: _r, ...others } = policy.limits!;
          const unbound = { concurrency, policy: { ...policy, limits: others } };
          expect(chooseHosts(asked(n, hosts, unbound))).toEqual(byRank);
        },
      ),
      { numRuns: 150 },
    );
  });
});
