import type { Blocker, CopiedDisk, HostFacts, MigrationMethod, Topology, VmTypeSpec } from '@chrysalis/contracts';
import {
  blockerOf,
  blockersOf,
  connected,
  moveRequest,
  place,
  policies,
  reasonsAgainst,
  type PlacementRequest,
  type Policy,
} from '@chrysalis/placement';
import { partedDisks, reachesDisks } from './copied-disks.ts';
import { blocker } from './blockers.ts';
import type { KnownHost, KnownVm } from './known.ts';
import { withState } from './save-and-restore.ts';

/** A VM that is to be of this type, with the hardware it has when it gets there: on another host, or where it is. */
export type Wish = Readonly<{
  vm: Pick<KnownVm, 'vmId' | 'hostId'>;
  target: VmTypeSpec;
  moved: Topology;
  moves: boolean;
  /** How; absent: by pre-copy. */
  method?: MigrationMethod | undefined;
  /** No VM goes there: a host that is being drained. */
  notHost?: string | undefined;
  /** Only there: the host that a plan has chosen. */
  toHost?: string | undefined;
}>;

/**
 * `hosts` are those that the engine finds fit, best first. `blockers` are why the wish cannot be met now: where none fits, every reason
 * with the first hosts that have it and how many more do, and what is amiss at the source. `copied`: disks that are copied on the way to the
 * best of the hosts.
 */
export type Fit = Readonly<{
  hosts: readonly string[];
  blockers: readonly Blocker[];
  request: PlacementRequest;
  copied: readonly CopiedDisk[];
}>;
export type KnownHosts = ReadonlyMap<string, KnownHost>;

/** What one hypervisor sends of a running VM another kind does not read. */
const sameDriver = (source: KnownHost): Policy => ({
  name: 'driver',
  refuses: ({ facts: { hostId, driver } }) =>
    driver === source.facts.driver
      ? undefined
      : {
          code: 'host.driver_differs',
          message: `${hostId} runs ${driver}, the VM's host ${source.facts.driver}`,
          remedy: 'choose a host with the same hypervisor',
          evidence: { driver, source: source.facts.driver },
        },
});

/** Both ends have a part in it. */
const carriesOut = (method: MigrationMethod = 'pre-copy'): Policy<{ readonly facts: HostFacts }, unknown> => ({
  name: 'method',
  refuses: ({ facts: { hostId, methods = ['pre-copy'] } }) =>
    methods.includes(method)
      ? undefined
      : {
          code: 'host.method_unsupported',
          message: `${hostId} cannot carry out ${method}`,
          remedy: `use ${methods.join(' or ')}, or bring the agent of ${hostId} up to date`,
          evidence: { method, methods },
        },
});

/**
 * The engine, asked for a move: by the same policies as for a new VM and as for the hold that the move takes (compile/prepare.ts), and by
 * the move's own beside them. A morph is a move that is pinned to the host the VM is on.
 */
export const fitOf = (wish: Wish, hosts: KnownHosts): Fit => {
  const { vm, moves } = wish;
  const only = moves ? wish.toHost : vm.hostId;
  const source = hosts.get(vm.hostId);
  const asked = moveRequest(vm.vmId, wish.moved, wish.target, (pool) => source?.facts.pools?.find((p) => p.name === pool)?.poolId);
  const request: PlacementRequest = { ...onTheWay(wish, asked), ...(only === undefined ? {} : { host: only }) };
  const { candidates, refused } = place(
    only === undefined ? others(wish, hosts) : [hosts.get(only) ?? []].flat(),
    request,
    moves && source ? [...policies, sameDriver(source), carriesOut(wish.method), reachesDisks(source.facts, wish.moved)] : policies,
  );
  const blockers: readonly Blocker[] = [
    ...(moves ? atSource(vm.hostId, source, carriesOut(wish.method)) : []),
    ...(candidates.length > 0 ? [] : blockersOf(refused)),
  ];
  const copied = moves ? copiedOnTheWay(source, candidates[0] && hosts.get(candidates[0].hostId), wish.moved) : [];
  return { hosts: candidates.map((c) => c.hostId), blockers, request, copied };
};

/** Beside what it holds for good. */
const onTheWay = ({ moves, method, moved }: Wish, asked: PlacementRequest): PlacementRequest =>
  moves && method === 'save-and-restore' ? withState(asked, moved) : asked;

const copiedOnTheWay = (source: KnownHost | undefined, target: KnownHost | undefined, moved: Topology): readonly CopiedDisk[] =>
  source && target ? partedDisks({ source: source.facts, target: target.facts }, moved).copied : [];

/**
 * CPUs that a type lacks are unplugged where the VM is, before it moves. Where the hypervisor there would not come through that whole they
 * are offlined: offline in the guest, and in the hardware and the ledger until the VM is shrunk where they can go.
 */
export const offlinesCpus = (host: KnownHost | undefined): boolean => host?.facts.cpuHotUnplug !== true;

const others = ({ vm, notHost }: Wish, hosts: KnownHosts): KnownHost[] =>
  [...hosts.values()].filter(({ facts: { hostId } }) => hostId !== vm.hostId && hostId !== notHost);

/** The source has to send: whatever state it is in, its agent must be there. */
const atSource = (hostId: string, source: KnownHost | undefined, method: ReturnType<typeof carriesOut>): Blocker[] =>
  source
    ? [...reasonsAgainst(source, undefined, [connected]), ...reasonsAgainst(source, undefined, [method])].map((reason) =>
        blockerOf(hostId, reason),
      )
    : [blocker('host.unknown', hostId, `the host ${hostId} is not known`, 'wait for the host to register')];

export const byId = (hosts: readonly KnownHost[]): Map<string, KnownHost> => new Map(hosts.map((h) => [h.facts.hostId, h]));
