import {
  memoryMiBOf,
  namedDisksOf,
  shownCpus,
  type Shows,
  type Desired,
  type Observed,
  type Ref,
  type Topology,
  type VmLabels,
  type VmDoing,
  type VmTypeSpec,
} from '@chrysalis/contracts';
import type { HostView } from '@chrysalis/placement';

/** A VM as its events told it. `version` is its stream's: what a plan is applied against. `spec` is that of the type it is pinned to. */
export type KnownVm = Readonly<{
  vmId: string;
  /** Its label; not known of VMs that were there before it was kept. */
  name?: string;
  /** Absent: of a VM that was there before they were kept, and has got none since. */
  labels?: VmLabels;
  tenant: string;
  type: Ref;
  spec: VmTypeSpec;
  /** Where its guest is shown less than its type and its hardware both have. */
  shows?: Shows;
  hostId: string;
  epoch: number;
  state: 'requested' | Desired | 'deleting';
  /** The action under way, if any: it is started, stopped, restarted, paused or continued, or its hardware is changed. */
  action?: VmDoing;
  /** The move that holds it, if any. */
  moveId?: string;
  topology: Topology;
  topologyHash: string;
  version: number;
  /** What its host last saw it do; absent where nobody has said so yet. */
  observed?: Observed;
}>;

export type KnownType = Readonly<{ ref: Ref; spec: VmTypeSpec }>;

/** A host as its events told it, in the engine's own shape. `generation` is its stream's version. */
export type KnownHost = HostView & Readonly<{ generation: number }>;

/** The newest version of each name, in the order of names. */
export const newest = (types: readonly KnownType[]): readonly KnownType[] => {
  const byName = new Map<string, KnownType>();
  for (const t of types) if ((byName.get(t.ref.name)?.ref.version ?? 0) < t.ref.version) byName.set(t.ref.name, t);
  return [...byName.values()].sort((a, b) => (a.ref.name < b.ref.name ? -1 : 1));
};

/**
 * The shape a VM shows its guest now: its type, less what was kept from it until later. What it has beyond its type (a disk that stayed
 * larger) is not shown: a template is of types, and its steps that have nothing left to do do nothing.
 */
export const presented = ({ spec, topology: t, shows }: Pick<KnownVm, 'spec' | 'topology' | 'shows'>): VmTypeSpec => ({
  ...spec,
  vcpus: { ...spec.vcpus, now: shownCpus(t, { spec, shows }) },
  memoryMiB: { ...spec.memoryMiB, now: memoryMiBOf(t) },
  disks: spec.disks.flatMap((d) =>
    namedDisksOf(t)
      .filter((x) => x.id === d.id)
      .map(({ id, sizeMiB }) => ({ id, sizeMiB: Math.min(sizeMiB, d.sizeMiB) })),
  ),
  nics: spec.nics.filter((n) => t.nics.some((x) => x.id === n.id)),
});
