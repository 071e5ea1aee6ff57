import {
  refText,
  type Blocker,
  type Characterisation,
  type CopiedDisk,
  type Plan,
  type PlannedMove,
  type Ref,
  type SetRun,
  type TemplateSpec,
  vcpusOf,
} from '@chrysalis/contracts';
import { blocker, distinct } from './blockers.ts';
import { chooseHosts, take, wishOf, type Chosen } from './choose-hosts.ts';
import { failsafe } from './characterisation.ts';
import { compileMove, type CompiledMove } from './compile/compile-move.ts';
import type { MoveInput } from './compile/context.ts';
import { shapeOf } from './compile/shape.ts';
import { difference, type Difference } from './difference.ts';
import { byId, fitOf, offlinesCpus, type KnownHosts, type Wish } from './fit.ts';
import { guestAccess, unknownGuest, type GuestAccess, type KnownGuest } from './guest-access.ts';
import type { KnownHost, KnownType, KnownVm } from './known.ts';
import { observedBlockers } from './observed.ts';
import { noWayBackOf } from './post-copy.ts';
import { interruptionOf } from './restart.ts';
import { mapsRam, standsStillOf } from './save-and-restore.ts';
import { copyBlockers, guestBlockers, needsOf, shapeBlockers, stateBlockers } from './option-verdict.ts';

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
  /** By VM, where it goes if it can: back to where it was. */
  toHosts?: ReadonlyMap<string, string> | undefined;
  /** How it is to be run; absent: one at a time, without limits. */
  run?: SetRun | undefined;
}>;

/**
 * A migration in full, before anything is touched: per VM every step and every blocker at once. VMs are given hosts in turn, by the
 * engine's ranking and the set's limits, and what one takes the next no longer finds free. `basis` is what must still hold when the plan is applied.
 */
export const plan = (input: PlanInput): Plan => {
  const hosts = byId(input.hosts);
  const chosen = chooseHosts(input);
  const moves = input.vms.map((vm) => planMove(input, vm, hosts, chosen.get(vm.vmId)!));
  const touched = new Set(moves.flatMap((m) => [m.fromHost, m.toHost]));
  return {
    planId: input.planId,
    at: input.at,
    basis: {
      template: input.template.ref,
      vmVersions: Object.fromEntries(input.vms.map((vm) => [vm.vmId, vm.version])),
      hostGenerations: Object.fromEntries(
        [...touched].flatMap((id) => {
          const h = hosts.get(id);
          return h ? [[id, h.generation]] : [];
        }),
      ),
    },
    moves,
    ...(input.run ? { run: input.run } : {}),
  };
};

const planMove = (input: PlanInput, vm: KnownVm, hosts: KnownHosts, chosen: Chosen): PlannedMove => {
  const { template, target } = input;
  const guest = input.guests.get(vm.vmId) ?? unknownGuest;
  const mapped = mapsRam(hosts.get(vm.hostId)?.facts, hosts.get(chosen.hostId)?.facts);
  const { compiled, access } = compileFor(
    {
      migrationId: input.planId,
      moveId: input.planId,
      template,
      vm,
      target: { hostId: chosen.hostId, spec: target.spec },
      offlines: offlinesCpus(hosts.get(vm.hostId)),
      copied: chosen.copied,
      mapped,
    },
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
    blockers: distinct([
      ...vmBlockers(input, vm, guest.characterisation),
      ...copyBlockers(vm.vmId, template.spec.options.method, chosen.copied),
      ...access.blockers,
      ...chosen.blockers,
    ]),
    ...copiesOf(chosen.copied, template.spec.options.maxBandwidthMiBps),
    interruption: interruptionOf(template.spec.migration.length > 0, template.spec.options.method),
    ...noWayBackOf(template.spec, vm.hostId, chosen.hostId),
    ...pausesOf(vm, template.spec, target),
    ...standsStillOf(template.spec, wishOf(vm, template, target, hosts).moved, mapped),
    ...(access.without.length > 0 ? { without: [...access.without] } : {}),
    ...keepsOf(vm, template.spec, target, offlinesCpus(hosts.get(vm.hostId))),
  };
};

/** With a forecast: what it takes to send all of it at the limit. What was never written takes next to nothing. */
const copiesOf = (copied: readonly CopiedDisk[], maxBandwidthMiBps: number): Pick<PlannedMove, 'copies'> =>
  copied.length === 0 ? {} : { copies: copied.map((d) => ({ ...d, seconds: Math.ceil(d.sizeMiB / maxBandwidthMiBps) })) };
/** What is done in the middle, and how much longer users may wait for it. */
const pausesOf = (vm: KnownVm, spec: TemplateSpec, target: KnownType): Pick<PlannedMove, 'pauses'> => {
  const { midMigration, migration } = spec;
  if (!midMigration || migration.length === 0) return {};
  const { stopped } = shapeOf(vm, spec, { offlines: false, target: target.spec });
  const { withinMs, running } = midMigration;
  const names = [...new Set(stopped.map((p) => p.step))];
  return { pauses: { stoppedMs: names.length > 0 ? withinMs : 0, unannouncedMs: running.length > 0 ? withinMs : 0, stopped: names } };
};

/** What stays more than the type has. The ledger holds it as it is. */
const keepsOf = (vm: KnownVm, template: TemplateSpec, target: KnownType, offlines: boolean): Pick<PlannedMove, 'keeps'> => {
  const { disksKept } = difference(vm, target.spec);
  const [has, type] = [vcpusOf(shapeOf(vm, template, { offlines, target: target.spec }).after), target.spec.vcpus.now];
  const keeps = [
    ...(has > type ? [{ what: 'vcpus' as const, id: 'vcpus', has, type }] : []),
    ...disksKept.map(({ id, from, to }) => ({ what: 'disk' as const, id, has: from, type: to })),
  ];
  return keeps.length === 0 ? {} : { keeps };
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
  const d = withoutRewired(difference(vm, target.spec), spec);
  const scripts = [...spec.preMigration, ...(spec.midMigration?.running ?? []), ...spec.postMigration].some(
    (s) => s.kind === 'guest-script',
  );
  const choice = { ...spec.options, move: spec.migration.length > 0 };
  const needs = [...needsOf(d, choice), ...(scripts ? (['run-script'] as const) : [])];
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
    ...shapeBlockers(vm, d, choice),
    ...guestBlockers(vm.vmId, needs, characterisation),
  ];
};

/** NICs whose network changes in the middle of the move: nothing stands against it. */
const withoutRewired = (d: Difference, { midMigration }: TemplateSpec): Difference => {
  const stopped = midMigration?.stopped ?? [];
  return { ...d, nicsRewired: d.nicsRewired.filter((id) => !stopped.some((s) => s.kind === 'rewire-nic' && s.nic === id)) };
};

/**
 * What blocks a plan now: what did when it was made, and what has come since and changes no version. A guest may be off, an agent of a
 * host at either end away, a chosen host draining, or full: the engine is asked again, for the hosts that the plan has chosen.
 */
export const blockersNow = (
  { moves, template, target }: Readonly<{ moves: readonly PlannedMove[]; template: TemplateSpec; target: KnownType }>,
  vms: ReadonlyMap<string, KnownVm>,
  known: KnownHosts,
): (Blocker & { vmId: string })[] => {
  const hosts = new Map(known);
  return moves.flatMap(({ vmId, toHost, blockers }) => {
    const vm = vms.get(vmId);
    const since = vm ? [...observedBlockers(vm), ...hostNow({ ...wishOf(vm, { spec: template }, target, hosts), toHost }, hosts)] : [];
    const isKnown = (b: Blocker): boolean => blockers.some((x) => x.code === b.code && x.subject === b.subject);
    return [...blockers, ...since.filter((b) => !isKnown(b))].map((b) => ({ vmId, ...b }));
  });
};

const hostNow = (wish: Wish, hosts: Map<string, KnownHost>): readonly Blocker[] => {
  const { hosts: [there], blockers, request } = fitOf(wish, hosts); // prettier-ignore
  if (there !== undefined) take(there, request, hosts);
  return blockers;
};

export type Outdated = Readonly<{ what: string; planned: number | string; now: number | string }>;

/** What changed since the plan was made; `latest` is 0 where the template was deleted. Hosts are left out: the hold itself is decided against the host's present state. */
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
  if (template.latest === 0) changed.push({ what: `template ${name}`, planned: version, now: 'deleted' });
  else if (template.retired) changed.push({ what: `template ${name}`, planned: version, now: 'retired' });
  else if (template.latest !== version) changed.push({ what: `template ${name}`, planned: version, now: template.latest });
  return changed;
};
