import {
  memoryMiBOf,
  plugged,
  resized,
  unplugged,
  vcpusOf,
  type Device,
  type TemplateSpec,
  type TemplateStep,
  type Topology,
} from '@chrysalis/contracts';

export type Removal = Readonly<{ step: string; device: Extract<Device, { kind: 'nic' | 'disk' }> }>;
export type Plug = Readonly<{ step: string; kind: 'plug-cpus' | 'plug-memory'; device: Extract<Device, { kind: 'cpu' | 'memory' }> }>;
export type Growth = Readonly<{ step: string; disk: string; sizeMiB: number }>;
/** The hardware at each stage, and the single changes between: what is done already is left out, so that a template fits a VM half way. */
export type Shape = Readonly<{
  before: Topology;
  moved: Topology;
  after: Topology;
  removals: readonly Removal[];
  plugs: readonly Plug[];
  growths: readonly Growth[];
}>;

export const shapeOf = (topology: Topology, spec: TemplateSpec): Shape => {
  const removals = spec.hotUnplug.flatMap((s) => removalOf(topology, s));
  const moved = removals.reduce((t, r) => unplugged(t, r.device), topology);
  let after = moved;
  const plugs: Plug[] = [];
  const growths: Growth[] = [];
  for (const s of spec.hotPlug) {
    const added = plugsOf(after, s);
    after = added.reduce((t, p) => plugged(t, p.device), after);
    plugs.push(...added);
    if (s.kind !== 'grow-disk' || !after.disks.some((d) => d.id === s.disk && d.sizeMiB < s.sizeMiB)) continue;
    growths.push({ step: s.name, disk: s.disk, sizeMiB: s.sizeMiB });
    after = resized(after, s.disk, s.sizeMiB);
  }
  return { before: topology, moved, after, removals, plugs, growths };
};

const removalOf = (t: Topology, s: TemplateStep): Removal[] => {
  if (s.kind === 'unplug-nic') return t.nics.filter((n) => n.id === s.nic).map((n) => ({ step: s.name, device: { kind: 'nic', ...n } }));
  if (s.kind === 'unplug-disk')
    return t.disks.filter((d) => d.id === s.disk).map((d) => ({ step: s.name, device: { kind: 'disk', ...d } }));
  return [];
};

/** One CPU at a time, the lowest free core first; memory as one DIMM in the lowest free slot. */
const plugsOf = (t: Topology, s: TemplateStep): Plug[] => {
  if (s.kind === 'plug-cpus') {
    const taken = new Set(t.vcpus.plugged.map((c) => c.coreId));
    const free = Array.from({ length: t.vcpus.max - t.vcpus.boot }, (_, i) => t.vcpus.boot + i).filter((core) => !taken.has(core));
    return free
      .slice(0, Math.max(0, s.vcpus - vcpusOf(t)))
      .map((coreId) => ({ step: s.name, kind: s.kind, device: { kind: 'cpu', id: `cpu${coreId}`, coreId } }));
  }
  if (s.kind !== 'plug-memory') return [];
  const sizeMiB = s.memoryMiB - memoryMiBOf(t);
  if (sizeMiB <= 0) return [];
  const ids = new Set(t.memory.dimms.map((d) => d.id));
  let n = 0;
  while (ids.has(`dimm${n}`)) n++;
  return [{ step: s.name, kind: s.kind, device: { kind: 'memory', id: `dimm${n}`, sizeMiB } }];
};
