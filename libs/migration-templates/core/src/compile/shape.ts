import {
  memoryMiBOf,
  plugged,
  resized,
  shownCpus,
  unplugged,
  vcpusOf,
  type Device,
  type TemplateSpec,
  type TemplateStep,
  type Topology,
  type VmTypeSpec,
} from '@chrysalis/contracts';
import { cpusGoing, dimmsGoing, nicToCome } from '../going.ts';
import type { KnownVm } from '../known.ts';
import { madeWhole, restarts } from '../restart.ts';

export type Removal = Readonly<{ step: string; device: Device }>;
export type Plug = Readonly<{ step: string; kind: 'plug-cpus' | 'plug-memory' | 'plug-nic'; device: Exclude<Device, { kind: 'disk' }> }>;
export type Growth = Readonly<{ step: string; disk: string; sizeMiB: number }>;
/** The hardware at each stage, and the single changes between: what is done already is left out, so that a template fits a VM half way. */
export type Shape = Readonly<{
  before: Topology;
  /** At the source, when it has let go of what goes. */
  moved: Topology;
  /** As the target begins with it, and with what was plugged there while the guest stood still; as `moved` where nothing is done in the middle. */
  arriving: Topology;
  arrived: Topology;
  after: Topology;
  removals: readonly Removal[];
  /** Plugged at the target while the guest stands still. */
  stopped: readonly Plug[];
  plugs: readonly Plug[];
  growths: readonly Growth[];
  /** The steps by which the guest takes CPUs offline that stay in its hardware, and how many it has then. */
  offlined: readonly Readonly<{ step: string; vcpus: number }>[];
  /** CPUs that the guest is to have online before, and after. */
  shown: Readonly<{ before: number; after: number }>;
}>;

export const shapeOf = (
  vm: Pick<KnownVm, 'topology' | 'spec' | 'shows'>,
  spec: TemplateSpec,
  { offlines, target }: Readonly<{ offlines: boolean; target: VmTypeSpec }>,
): Shape => (restarts(spec) ? ofRestart(vm, spec, target) : ofRunning(vm, spec, offlines));

/** Nothing is plugged: it begins with all of it, but for a disk that grows, which it does where it cannot be needed smaller any more. */
const ofRestart = (vm: Pick<KnownVm, 'topology' | 'spec' | 'shows'>, spec: TemplateSpec, target: VmTypeSpec): Shape => {
  const { topology: before } = vm;
  const moved = madeWhole(vm, target, spec.options.newResources);
  const growths = growthsOf(moved, spec.hotPlug);
  const after = growths.reduce((t, g) => resized(t, g.disk, g.sizeMiB), moved);
  const shown = { before: shownCpus(before, vm), after: vcpusOf(moved) };
  return { before, moved, arriving: moved, arrived: moved, after, removals: [], stopped: [], plugs: [], growths, offlined: [], shown };
};

const growthsOf = (t: Topology, steps: readonly TemplateStep[]): Growth[] =>
  steps.flatMap((s) =>
    s.kind === 'grow-disk' && t.disks.some((d) => d.id === s.disk && d.sizeMiB < s.sizeMiB)
      ? [{ step: s.name, disk: s.disk, sizeMiB: s.sizeMiB }]
      : [],
  );

const ofRunning = (vm: Pick<KnownVm, 'topology' | 'spec' | 'shows'>, spec: TemplateSpec, offlines: boolean): Shape => {
  const { topology } = vm;
  const before = shownCpus(topology, vm);
  let shown = before;
  const offlined: { step: string; vcpus: number }[] = [];
  let moved = topology;
  const removals: Removal[] = [];
  for (const s of spec.hotUnplug) {
    const gone = s.kind === 'unplug-cpus' && offlines ? [] : removalsOf(moved, s);
    moved = gone.reduce((t, r) => unplugged(t, r.device), moved);
    removals.push(...gone);
    if (s.kind !== 'unplug-cpus' || s.vcpus >= shown) continue;
    shown = s.vcpus;
    if (vcpusOf(moved) > shown) offlined.push({ step: s.name, vcpus: shown });
  }
  const { arriving, arrived, stopped } = middleOf(moved, spec);
  shown = shownBy(shown, spec.midMigration?.stopped ?? []);
  let after = arrived;
  const plugs: Plug[] = [];
  const growths: Growth[] = [];
  shown = shownBy(shown, spec.hotPlug);
  for (const s of spec.hotPlug) {
    const added = plugsOf(after, s);
    after = added.reduce((t, p) => plugged(t, p.device), after);
    plugs.push(...added);
    if (s.kind !== 'grow-disk' || !after.disks.some((d) => d.id === s.disk && d.sizeMiB < s.sizeMiB)) continue;
    growths.push({ step: s.name, disk: s.disk, sizeMiB: s.sizeMiB });
    after = resized(after, s.disk, s.sizeMiB);
  }
  return {
    before: topology,
    moved,
    arriving,
    arrived,
    after,
    removals,
    stopped,
    plugs,
    growths,
    offlined,
    shown: { before, after: shown },
  };
};

/** How many CPUs the guest is to have online after these. */
const shownBy = (before: number, steps: readonly TemplateStep[]): number =>
  steps.reduce((most, s) => (s.kind === 'plug-cpus' ? Math.max(most, s.vcpus) : most), before);

/** What is done while the guest stands still at the target. */
const middleOf = (moved: Topology, { midMigration }: TemplateSpec): Pick<Shape, 'arriving' | 'arrived' | 'stopped'> => {
  const steps = midMigration?.stopped ?? [];
  const arriving = steps.reduce((t, s) => (s.kind === 'rewire-nic' ? rewired(t, s) : t), moved);
  let arrived = arriving;
  const stopped: Plug[] = [];
  for (const s of steps) {
    const added = plugsOf(arrived, s);
    arrived = added.reduce((t, p) => plugged(t, p.device), arrived);
    stopped.push(...added);
  }
  return { arriving, arrived, stopped };
};

const rewired = (t: Topology, { nic, network }: { nic: string; network: string }): Topology => ({
  ...t,
  nics: t.nics.map((n) => (n.id === nic ? { ...n, network } : n)),
});

const removalsOf = (t: Topology, s: TemplateStep): Removal[] => goingBy(t, s).map((device) => ({ step: s.name, device }));

const goingBy = (t: Topology, s: TemplateStep): Device[] => {
  switch (s.kind) {
    case 'unplug-nic':
      return t.nics.filter((n) => n.id === s.nic).map((n) => ({ kind: 'nic', ...n }));
    case 'unplug-disk':
      return t.disks.filter((d) => d.id === s.disk).map((d) => ({ kind: 'disk', ...d }));
    case 'unplug-cpus':
      return cpusGoing(t, s.vcpus).map((c) => ({ kind: 'cpu', ...c }));
    case 'unplug-memory':
      return (dimmsGoing(t, s.memoryMiB) ?? []).map((d) => ({ kind: 'memory', ...d }));
    default:
      return [];
  }
};

/** One CPU at a time, the lowest free core first; memory as one DIMM in the lowest free slot; a NIC on the lowest free root port. */
const plugsOf = (t: Topology, s: TemplateStep): Plug[] => {
  if (s.kind === 'plug-cpus') {
    const taken = new Set(t.vcpus.plugged.map((c) => c.coreId));
    const free = Array.from({ length: t.vcpus.max - t.vcpus.boot }, (_, i) => t.vcpus.boot + i).filter((core) => !taken.has(core));
    return free
      .slice(0, Math.max(0, s.vcpus - vcpusOf(t)))
      .map((coreId) => ({ step: s.name, kind: s.kind, device: { kind: 'cpu', id: `cpu${coreId}`, coreId } }));
  }
  if (s.kind === 'plug-nic') {
    const device = t.nics.some((n) => n.id === s.nic) ? undefined : nicToCome(t, { id: s.nic, network: s.network });
    return device ? [{ step: s.name, kind: s.kind, device }] : [];
  }
  if (s.kind !== 'plug-memory') return [];
  const sizeMiB = s.memoryMiB - memoryMiBOf(t);
  if (sizeMiB <= 0) return [];
  const ids = new Set(t.memory.dimms.map((d) => d.id));
  let n = 0;
  while (ids.has(`dimm${n}`)) n++;
  return [{ step: s.name, kind: s.kind, device: { kind: 'memory', id: `dimm${n}`, sizeMiB } }];
};
