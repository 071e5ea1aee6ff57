// Which host each VM of a plan goes to: the engine's ranking says which is best, and the set's limits where that would take longer.
import { refText, type Blocker, type CopiedDisk } from '@chrysalis/contracts';
import { needOn, plus, type PlacementRequest } from '@chrysalis/placement';
import { blocker } from './blockers.ts';
import { shapeOf } from './compile/shape.ts';
import { byId, fitOf, offlinesCpus, type KnownHosts, type Wish } from './fit.ts';
import type { KnownHost, KnownType, KnownVm } from './known.ts';
import type { PlanInput } from './plan.ts';
import { orderOf } from './sets/order.ts';
import { soonestOf, Turns, type Pace } from './sets/turns.ts';

export type Chosen = Readonly<{ hostId: string; blockers: readonly Blocker[]; copied: readonly CopiedDisk[] }>;
type Choices = ReadonlyMap<string, Chosen>;
type Asked = Pick<PlanInput, 'template' | 'target' | 'vms' | 'hosts' | 'notHost' | 'toHosts' | 'run'>;
/** One of hosts that fit, the best first. */
type PickOne = (vm: KnownVm, ranked: readonly string[]) => string | undefined;

/**
 * By the ranking alone, unless the set has limits by which it is through in fewer turns over other hosts, with no more VMs that find none.
 * Without limits of hosts or racks it is the ranking's own (ADR 64).
 */
export const chooseHosts = (asked: Asked): Choices => {
  const byRank = choices(asked, asked.vms, (_, [best]) => best);
  const pace = paceOf(asked);
  if (!pace) return byRank;
  const order = inOrder(asked);
  const turns = new Turns(pace, order.length);
  const spread = choices(asked, order, (vm, ranked) => {
    const host = soonestOf(turns, vm.vmId, vm.hostId, ranked);
    turns.take(vm.vmId, host === undefined ? undefined : { fromHost: vm.hostId, toHost: host });
    return host;
  });
  return blockedIn(spread) <= blockedIn(byRank) && turnsOf(pace, order, spread) < turnsOf(pace, order, byRank) ? spread : byRank;
};

/** Where its limits know more than one host from another. */
const paceOf = ({ run, template, hosts, vms }: Asked): Pace | undefined => {
  const { concurrency = 1, policy } = run ?? {};
  const { perTarget, perHost, perRack } = policy?.limits ?? {};
  const isBound = [perTarget, perHost, perRack].some((limit) => limit !== undefined && limit < Math.min(concurrency, vms.length));
  if (!isBound || template.spec.migration.length === 0) return undefined;
  const rackOf = new Map(hosts.map(({ facts: { hostId, place: p } }) => [hostId, `${p.site}/${p.room}/${p.rack}`]));
  return { concurrency, policy, rackOf };
};

const inOrder = ({ vms, run }: Asked): readonly KnownVm[] => {
  const order = orderOf(
    vms.map((vm) => vm.vmId),
    run?.policy?.after,
  );
  const known = new Map(vms.map((vm) => [vm.vmId, vm]));
  return order.ok ? order.vmIds.flatMap((id) => known.get(id) ?? []) : vms; // refused when it was asked for
};

const blockedIn = (chosen: Choices): number => [...chosen.values()].filter((c) => c.blockers.length > 0).length;

const turnsOf = (pace: Pace, order: readonly KnownVm[], chosen: Choices): number => {
  const turns = new Turns(pace, order.length);
  for (const { vmId, hostId } of order) {
    const c = chosen.get(vmId)!;
    turns.take(vmId, c.blockers.length > 0 ? undefined : { fromHost: hostId, toHost: c.hostId });
  }
  return turns.count;
};

/** For each in turn: what one takes the next no longer finds free. */
const choices = (asked: Asked, vms: readonly KnownVm[], pickOne: PickOne): Choices => {
  const hosts = byId(asked.hosts);
  return new Map(vms.map((vm) => [vm.vmId, chooseHost(asked, vm, hosts, pickOne)]));
};

/** What the VM will hold there is taken from what is free. */
const chooseHost = (asked: Asked, vm: KnownVm, hosts: Map<string, KnownHost>, pickOne: PickOne): Chosen => {
  const { template, target, notHost, toHosts } = asked;
  const wish = { ...wishOf(vm, template, target, hosts), notHost };
  const fit = fitOf(wish, hosts);
  const home = toHosts?.get(vm.vmId);
  const picked = pickOne(vm, home !== undefined && fit.hosts.includes(home) ? [home] : fit.hosts);
  if (picked !== undefined && fit.blockers.length === 0) take(picked, fit.request, hosts);
  if (picked !== undefined || !wish.moves) {
    // What has to be copied is told of the best one alone.
    const { copied } = wish.moves && picked !== fit.hosts[0] ? fitOf({ ...wish, toHost: picked }, byId(asked.hosts)) : fit;
    return { hostId: picked ?? vm.hostId, blockers: fit.blockers, copied };
  }
  const none = blocker(
    'placement.no_host',
    vm.vmId,
    `no other host can take ${vm.vmId} as ${refText(target.ref)}`,
    'see the reasons beside it: free room, or add a host',
  );
  const other = [...hosts.keys()].find((id) => id !== vm.hostId && id !== notHost);
  return { hostId: other ?? vm.hostId, blockers: [none, ...fit.blockers], copied: fit.copied };
};

export const wishOf = (
  vm: KnownVm,
  { spec: template }: Pick<PlanInput['template'], 'spec'>,
  { spec: target }: KnownType,
  hosts: KnownHosts,
): Wish => ({
  vm,
  target,
  moved: shapeOf(vm, template, { offlines: offlinesCpus(hosts.get(vm.hostId)), target }).moved,
  moves: template.migration.length > 0,
  method: template.options.method,
});

export const take = (hostId: string, request: PlacementRequest, hosts: Map<string, KnownHost>): void => {
  const host = hosts.get(hostId)!;
  hosts.set(hostId, { ...host, held: plus(host.held, needOn(host, request)) });
};
