import {
  SEED_DISK,
  shownCpus,
  type Interruption,
  type TemplateOptions,
  type TemplateSpec,
  type Topology,
  type VmTypeSpec,
} from '@chrysalis/contracts';
import { difference } from './difference.ts';
import { nicToCome } from './going.ts';
import type { KnownVm } from './known.ts';

/** The VM ends at its source, and begins anew at its target. */
export const restarts = ({ migration, options }: Pick<TemplateSpec, 'migration' | 'options'>): boolean =>
  migration.length > 0 && options.method === 'restart';

export const interruptionOf = (move: boolean, method: TemplateOptions['method']): Interruption => {
  if (!move) return 'none';
  return method === 'restart' || method === 'save-and-restore' ? method : 'under-a-second';
};

const SHUT_DOWN_MS = 60_000;
type ShutDown = { modes: ('guest-agent' | 'acpi' | 'power-off')[]; timeoutMs: number };
/** Its agent first, then its power button; its power only where the template says so. */
export const shutDownOf = ({ shutDown = {} }: Pick<TemplateOptions, 'shutDown'>): ShutDown => ({
  modes: ['guest-agent', 'acpi', ...(shutDown.force ? (['power-off'] as const) : [])],
  timeoutMs: shutDown.timeoutMs ?? SHUT_DOWN_MS,
});

/**
 * The hardware that it begins anew with: all of the type, also what can neither be plugged nor unplugged while it runs. Hidden is what the guest
 * did not have: room for it is there all the same. Disks come as large as they are; its first boot is over, so that its seed goes.
 */
export const madeWhole = (
  vm: Pick<KnownVm, 'topology' | 'spec' | 'shows'>,
  target: VmTypeSpec,
  newResources: 'expose' | 'hide',
): Topology => {
  const { topology: t } = vm;
  const d = difference(vm, target);
  const hides = newResources === 'hide';
  const vcpus = hides ? Math.min(shownCpus(t, vm), target.vcpus.now) : target.vcpus.now;
  const memoryMiB = hides ? Math.min(d.memoryMiB.from, target.memoryMiB.now) : target.memoryMiB.now;
  const kept: Topology = {
    ...t,
    cpuModel: hides ? t.cpuModel : target.cpuModel,
    vcpus: { boot: vcpus, max: Math.max(target.vcpus.max, target.vcpus.now, vcpus), plugged: [] },
    memory: { ...t.memory, bootMiB: memoryMiB, maxMiB: Math.max(target.memoryMiB.max, target.memoryMiB.now, memoryMiB), dimms: [] },
    disks: t.disks.filter((x) => x.id !== SEED_DISK && !d.disksRemoved.includes(x.id)),
    nics: t.nics.filter((x) => !d.nicsRemoved.includes(x.id)).map((x) => rewired(x, target)),
  };
  return hides ? kept : d.nicsAdded.reduce((so, id) => withNic(so, id, target), kept);
};

const rewired = (nic: Topology['nics'][number], { nics }: VmTypeSpec): Topology['nics'][number] => ({
  ...nic,
  network: nics.find((n) => n.id === nic.id)?.network ?? nic.network,
});

/** Where there is no room for it, an option and a plan have said so. */
const withNic = (t: Topology, id: string, { nics }: VmTypeSpec): Topology => {
  const nic = nicToCome(t, { id, network: nics.find((n) => n.id === id)!.network });
  if (!nic) return t;
  const { kind: _, ...rest } = nic;
  return { ...t, nics: [...t.nics, rest] };
};
