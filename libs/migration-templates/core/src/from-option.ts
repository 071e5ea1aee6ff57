import type { MigrationOption, Ref, TemplateOptions, TemplateSpec, TemplateStep, VmTypeSpec } from '@chrysalis/contracts';
import { namer, reservedNames } from './names.ts';

export type ExtraSteps = Readonly<{ preMigration?: readonly TemplateStep[]; postMigration?: readonly TemplateStep[] }>;
/** QEMU's own 300 ms is what an idle guest then gets; with 100 it takes a round more, and leaves the service's second some room. */
export const defaultTuning: Pick<TemplateOptions, 'downtimeLimitMs' | 'maxBandwidthMiBps'> = {
  downtimeLimitMs: 100,
  maxBandwidthMiBps: 1024,
};

/**
 * A template from an option that was offered: each section filled with what separates the two types. The author's scripts come first
 * before the move, and last after it, when all that is new is there.
 */
export const templateFromOption = (
  option: Pick<MigrationOption, 'targetType' | 'move' | 'method' | 'newResources' | 'augmentation'>,
  sourceType: Ref,
  source: VmTypeSpec,
  target: VmTypeSpec,
  extra: ExtraSteps = {},
): TemplateSpec => {
  const { preMigration = [], postMigration = [] } = extra;
  const name = namer([...reservedNames, ...preMigration.map((s) => s.name), ...postMigration.map((s) => s.name)]);
  const restart = option.move && option.method === 'restart';
  const growth = option.newResources === 'expose' ? growthOf(source, target, name) : { plugs: [], guest: [] };
  if (restart) Object.assign(growth, { plugs: growth.plugs.filter((s) => s.kind === 'grow-disk'), guest: [] });
  return {
    sourceType,
    options: {
      targetType: option.targetType,
      method: option.method,
      newResources: option.newResources,
      emulateIncompatible: false,
      augmentation: [...option.augmentation],
      ...defaultTuning,
    },
    preMigration: [...preMigration],
    hotUnplug: restart
      ? []
      : [
          ...shrinkOf(source, target, name),
          ...missing(source.nics, target.nics).map((nic): TemplateStep => ({ kind: 'unplug-nic', name: name('unplug', nic), nic })),
          ...missing(source.disks, target.disks).map((disk): TemplateStep => ({ kind: 'unplug-disk', name: name('unplug', disk), disk })),
        ],
    migration: option.move ? [{ kind: 'live-migration', name: name(option.method === 'pre-copy' ? 'live-migration' : option.method) }] : [],
    hotPlug: growth.plugs,
    postMigration: [...growth.guest, ...postMigration],
  };
};

const missing = (from: readonly { id: string }[], to: readonly { id: string }[]): string[] =>
  from.filter((x) => !to.some((y) => y.id === x.id)).map((x) => x.id);

const shrinkOf = (source: VmTypeSpec, target: VmTypeSpec, name: ReturnType<typeof namer>): TemplateStep[] => {
  const [vcpus, memoryMiB] = [target.vcpus.now, target.memoryMiB.now];
  return [
    ...(vcpus < source.vcpus.now ? [{ kind: 'unplug-cpus' as const, name: name('unplug-cpus'), vcpus }] : []),
    ...(memoryMiB < source.memoryMiB.now ? [{ kind: 'unplug-memory' as const, name: name('unplug-memory'), memoryMiB }] : []),
  ];
};

type Growth = { plugs: TemplateStep[]; guest: TemplateStep[] };
const growthOf = (source: VmTypeSpec, target: VmTypeSpec, name: ReturnType<typeof namer>): Growth => {
  const out: Growth = { plugs: [], guest: [] };
  if (target.vcpus.now > source.vcpus.now) {
    out.plugs.push({ kind: 'plug-cpus', name: name('plug-cpus'), vcpus: target.vcpus.now });
    out.guest.push({ kind: 'online-cpus', name: name('online-cpus'), vcpus: target.vcpus.now });
  }
  if (target.memoryMiB.now > source.memoryMiB.now) {
    out.plugs.push({ kind: 'plug-memory', name: name('plug-memory'), memoryMiB: target.memoryMiB.now });
    out.guest.push({ kind: 'online-memory', name: name('online-memory'), memoryMiB: target.memoryMiB.now });
  }
  for (const nic of target.nics)
    if (!source.nics.some((n) => n.id === nic.id))
      out.plugs.push({ kind: 'plug-nic', name: name('plug', nic.id), nic: nic.id, network: nic.network });
  for (const disk of target.disks) {
    const before = source.disks.find((d) => d.id === disk.id);
    if (!before || disk.sizeMiB <= before.sizeMiB) continue;
    out.plugs.push({ kind: 'grow-disk', name: name('grow', disk.id), disk: disk.id, sizeMiB: disk.sizeMiB });
    out.guest.push({ kind: 'grow-filesystem', name: name('grow-filesystem', disk.id), disk: disk.id });
  }
  return out;
};
