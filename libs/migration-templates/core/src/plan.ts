import {
  amountsOf,
  refText,
  type Amounts,
  type Blocker,
  type Characterisation,
  type Plan,
  type PlannedMove,
  type Ref,
  type TemplateSpec,
} from '@chrysalis/contracts';
import { blocker, distinct } from './blockers.ts';
import { failsafe } from './characterisation.ts';
import { compileMove, type CompiledMove } from './compile/compile-move.ts';
import type { MoveInput } from './compile/making.ts';
import { difference } from './difference.ts';
import { awayBlocker, hostBlockers } from './feasibility.ts';
import { guestAccess, unknownGuest, type GuestAccess, type KnownGuest } from './guest-access.ts';
import type { KnownHost, KnownType, KnownVm } from './known.ts';
import { observedBlockers } from './observed.ts';
import { guestBlockers, needsOf, shapeBlockers, stateBlockers } from './option-verdict.ts';

export type PlanInput = Readonly<{
  planId: string;
  at: string;
  template: Readonly<{ ref: Ref; spec: TemplateSpec; retired: boolean }>;
  target: KnownType;
  vms: readonly KnownVm[];
  hosts: readonly KnownHost[];
  /** By VM; one that is not here is one that nobody may look into. */
  guests: ReadonlyMap<string, KnownGuest>;
  /** No VM goes there: a host that is being drained. */
  notHost?: string | undefined;
}>;

/**
 * A migration in full, before anything is touched: per VM every step and every blocker at once. VMs are given hosts in turn, the
 * emptiest first, and what one takes the next no longer finds free. `basis` is what must still hold when the plan is applied.
 */
export const plan = (input: PlanInput): Plan => {
  const free = new Map(input.hosts.map((h) => [h.hostId, h.free]));
  const moves = input.vms.map((vm) => planMove(input, vm, free));
  const touched = new Set(moves.flatMap((m) => [m.fromHost, m.toHost]));
  return {
    planId: input.planId,
    at: input.at,
    basis: {
      template: input.template.ref,
      vmVersions: Object.fromEntries(input.vms.map((vm) => [vm.vmId, vm.version])),
      hostGenerations: Object.fromEntries(input.hosts.filter((h) => touched.has(h.hostId)).map((h) => [h.hostId, h.generation])),
    },
    moves,
  };
};

const planMove = (input: PlanInput, vm: KnownVm, free: Map<string, Amounts>): PlannedMove => {
  const { template, target } = input;
  const chosen = template.spec.migration.length > 0 ? chooseHost(input, vm, free) : stay(input, vm, free);
  if (chosen.blockers.length === 0) take(vm, target, chosen.hostId, free);
  const guest = input.guests.get(vm.vmId) ?? unknownGuest;
  const { compiled, access } = compileFor(
    { migrationId: input.planId, moveId: input.planId, template, vm, target: { hostId: chosen.hostId, spec: target.spec } },
    guest,
    input.at,
  );
  return {
    vmId: vm.vmId,
    fromHost: vm.hostId,
    toHost: chosen.hostId,
    fromType: vm.type,
    toType: template.spec.options.targetType,
    steps: compiled.definition.tasks.map((t) => ({ section: t.section ?? 'prepare', name: t.name, kind: t.kind, summary: t.summary })),
    blockers: distinct([...vmBlockers(input, vm, guest.characterisation), ...access.blockers, ...chosen.blockers]),
    ...(access.without.length > 0 ? { without: [...access.without] } : {}),
  };
};

/** A move with what may be asked of its guest at this time: the same for its plan and for its start. */
export const compileFor = (
  move: Omit<MoveInput, 'guest'>,
  guest: KnownGuest,
  at: string,
): { compiled: CompiledMove; access: GuestAccess } => {
  const asked = compileMove({ ...move, guest: true });
  const access = guestAccess(move.vm, move.template.spec, asked.definition.tasks, guest, at);
  return { compiled: access.ask ? asked : compileMove({ ...move, guest: false }), access };
};

const vmBlockers = (
  { template, target }: PlanInput,
  vm: KnownVm,
  characterisation: Characterisation = failsafe(vm.vmId, ''),
): Blocker[] => {
  const { spec, ref } = template;
  const d = difference(vm.topology, vm.spec, target.spec);
  const scripts = [...spec.preMigration, ...spec.postMigration].some((s) => s.kind === 'guest-script');
  const needs = [...needsOf(d, spec.options), ...(scripts ? (['run-script'] as const) : [])];
  return [
    ...(template.retired
      ? [blocker('template.retired', refText(ref), `${ref.name} takes no new migrations`, 'publish another template')]
      : []),
    ...(refText(vm.type) === refText(spec.sourceType)
      ? []
      : [
          blocker(
            'plan.type_differs',
            vm.vmId,
            `${vm.vmId} is ${refText(vm.type)}, the template takes ${refText(spec.sourceType)}`,
            'choose a template for its type',
          ),
        ]),
    ...stateBlockers(vm),
    ...shapeBlockers(vm, d, spec.options),
    ...guestBlockers(vm.vmId, needs, characterisation),
  ];
};

type Chosen = Readonly<{ hostId: string; blockers: readonly Blocker[] }>;

/** The feasible host with the most memory free; by name where that is the same. */
const chooseHost = ({ hosts, target, notHost }: PlanInput, vm: KnownVm, free: ReadonlyMap<string, Amounts>): Chosen => {
  const source = hosts.find((h) => h.hostId === vm.hostId);
  const others = hosts
    .filter((h) => h.hostId !== vm.hostId && h.hostId !== notHost)
    .map((h) => ({ hostId: h.hostId, blockers: hostBlockers(vm, target.spec, h, source, free.get(h.hostId)) }));
  const memory = (id: string): number => free.get(id)!.memoryMiB;
  const [best] = others
    .filter((h) => h.blockers.length === 0)
    .sort((a, b) => memory(b.hostId) - memory(a.hostId) || (a.hostId < b.hostId ? -1 : 1));
  if (best) return best;
  const none = blocker(
    'plan.no_host',
    vm.vmId,
    `no other host can take ${vm.vmId} as ${refText(target.ref)}`,
    'see the reason of each host',
  );
  return { hostId: others[0]?.hostId ?? vm.hostId, blockers: [none, ...others.flatMap((h) => h.blockers)] };
};

const stay = ({ hosts, target }: PlanInput, vm: KnownVm, free: ReadonlyMap<string, Amounts>): Chosen => {
  const host = hosts.find((h) => h.hostId === vm.hostId);
  if (!host)
    return {
      hostId: vm.hostId,
      blockers: [blocker('host.unknown', vm.hostId, `the host ${vm.hostId} is not known`, 'wait for the host to register')],
    };
  // Cordoned or draining: the VM is there already, and stays.
  const settled = host.state === 'lost' ? host : { ...host, state: 'enabled' as const };
  return { hostId: host.hostId, blockers: hostBlockers(vm, target.spec, settled, undefined, free.get(host.hostId)) };
};

const take = (vm: KnownVm, target: KnownType, hostId: string, free: Map<string, Amounts>): void => {
  const [now, was, before] = [amountsOf(target.spec), amountsOf(vm.spec), free.get(hostId)!];
  const home = hostId === vm.hostId;
  const left = (r: keyof Amounts): number => before[r] - (home ? Math.max(0, now[r] - was[r]) : now[r]);
  free.set(hostId, { vcpu: left('vcpu'), memoryMiB: left('memoryMiB'), diskMiB: left('diskMiB') });
};

/**
 * What blocks a plan now: what did when it was made, and what has come since and changes no version. A guest may be off, and an agent
 * of a host at either end away.
 */
export const blockersNow = (
  { moves }: Pick<Plan, 'moves'>,
  vms: ReadonlyMap<string, Pick<KnownVm, 'vmId' | 'hostId' | 'observed'>>,
  hosts: readonly Pick<KnownHost, 'hostId' | 'away'>[],
): (Blocker & { vmId: string })[] =>
  moves.flatMap(({ vmId, fromHost, toHost, blockers }) => {
    const vm = vms.get(vmId);
    const ends = hosts.filter((h) => h.hostId === fromHost || h.hostId === toHost);
    const since = [
      ...(vm ? observedBlockers(vm) : []),
      ...ends.flatMap((h) => (h.away === undefined ? [] : [awayBlocker(h.hostId, h.away)])),
    ];
    const known = (b: Blocker): boolean => blockers.some((x) => x.code === b.code && x.subject === b.subject);
    return [...blockers, ...since.filter((b) => !known(b))].map((b) => ({ vmId, ...b }));
  });

export type Outdated = Readonly<{ what: string; planned: number | string; now: number | string }>;

/** What changed since the plan was made. Hosts are left out: the hold itself is decided against the host's present state. */
export const outdated = (
  p: Plan,
  vms: ReadonlyMap<string, Pick<KnownVm, 'version'>>,
  template: Readonly<{ latest: number; retired: boolean }>,
): Outdated[] => {
  const { name, version } = p.basis.template;
  const changed = Object.entries(p.basis.vmVersions).flatMap(([vmId, planned]) => {
    const now = vms.get(vmId)?.version;
    return now === planned ? [] : [{ what: vmId, planned, now: now ?? 'gone' }];
  });
  if (template.retired) changed.push({ what: `template ${name}`, planned: version, now: 'retired' });
  else if (template.latest !== version) changed.push({ what: `template ${name}`, planned: version, now: template.latest });
  return changed;
};
