import { type Code, refText, type TemplateSpec, type TemplateStep, type VmTypeSpec } from '@chrysalis/contracts';
import { MEMORY_STEP_MIB } from './difference.ts';
import { reservedNames } from './names.ts';
import { isPostCopy } from './post-copy.ts';
import { restarts } from './restart.ts';

/** One fault of a template: where it is (`hotPlug.0`), a stable code, and words. */
export type TemplateFault = Readonly<{ path: string; code: Code; message: string }>;
export const templateSections = ['preMigration', 'hotUnplug', 'migration', 'hotPlug', 'postMigration'] as const;
export type TemplateSection = (typeof templateSections)[number];
/** And the two parts of what is done in the middle of the move. */
export const middleParts = ['midMigration.stopped', 'midMigration.running'] as const;
export type TemplatePart = TemplateSection | (typeof middleParts)[number];
/** In the order in which they are carried out. */
export const partsOf = (spec: TemplateSpec): readonly (readonly [TemplatePart, readonly TemplateStep[]])[] => {
  const { stopped = [], running = [] } = spec.midMigration ?? {};
  const { preMigration, hotUnplug, migration, hotPlug, postMigration } = spec;
  return Object.entries({
    preMigration,
    hotUnplug,
    migration,
    'midMigration.stopped': stopped,
    'midMigration.running': running,
    hotPlug,
    postMigration,
  }) as unknown as readonly (readonly [TemplatePart, readonly TemplateStep[]])[];
};

const belongs: Record<TemplateStep['kind'], readonly TemplatePart[]> = {
  'guest-script': ['preMigration', 'postMigration', 'midMigration.running'],
  'unplug-nic': ['hotUnplug'],
  'unplug-disk': ['hotUnplug'],
  'unplug-cpus': ['hotUnplug'],
  'unplug-memory': ['hotUnplug'],
  'live-migration': ['migration'],
  'plug-cpus': ['hotPlug', 'midMigration.stopped'],
  'plug-memory': ['hotPlug', 'midMigration.stopped'],
  'plug-nic': ['hotPlug', 'midMigration.stopped'],
  'rewire-nic': ['midMigration.stopped'],
  'grow-disk': ['hotPlug'],
  'online-cpus': ['postMigration'],
  'online-memory': ['postMigration'],
  'grow-filesystem': ['postMigration'],
};

export type Placed = Readonly<{ path: string; section: TemplatePart; step: TemplateStep }>;
const stepsOf = (spec: TemplateSpec): Placed[] =>
  partsOf(spec).flatMap(([section, list]) => list.map((step, i) => ({ path: `${section}.${i}`, section, step })));

/**
 * Every fault at once. `types` gives the shape of a type's version, or undefined where there is none. An empty migration section is
 * no fault: that is a morphing template.
 */
export const templateFaults = (spec: TemplateSpec, types: (ref: string) => VmTypeSpec | undefined): TemplateFault[] => {
  const faults: TemplateFault[] = [];
  const add = (path: string, code: Code, message: string): void => void faults.push({ path, code, message });
  const steps = stepsOf(spec);
  const source = types(refText(spec.sourceType));
  const target = types(refText(spec.options.targetType));
  if (!source) add('sourceType', 'vm-type.unknown', `there is no type ${refText(spec.sourceType)}`);
  if (!target) add('options.targetType', 'vm-type.unknown', `there is no type ${refText(spec.options.targetType)}`);
  if (spec.options.emulateIncompatible)
    add('options.emulateIncompatible', 'template.emulation_unsupported', 'hosts cannot emulate incompatible resources yet');
  if (spec.options.augmentation.length > 0)
    add('options.augmentation', 'template.augmentation_unsupported', 'packages cannot be deployed by a template yet');
  placeFaults(steps, add);
  if (restarts(spec)) restartFaults(steps, add);
  if (isPostCopy(spec)) postCopyFaults(steps, add);
  optionFaults(spec.options, add);
  middleFaults(spec, add);
  partnerFaults(steps, add);
  if (source && target) {
    for (const placed of steps) deviceFaults(placed, source, target, add);
    resultFaults(spec, steps, source, target, add);
  }
  return faults;
};

export type Add = (path: string, code: Code, message: string) => void;

/** What is wrong with steps whatever the others are: the name that they have, and where they stand. */
export const placeFaults = (steps: readonly Placed[], add: Add): void => {
  nameFaults(steps, add);
  for (const { path, section, step } of steps)
    if (!belongs[step.kind].includes(section))
      add(path, 'template.wrong_section', `${step.kind} belongs in ${belongs[step.kind].join(' or ')}, not in ${section}`);
};

/** What a restart does by itself, and what nobody would be there to do after it. */
const restartFaults = (steps: readonly Placed[], add: Add): void => {
  for (const { path, section, step } of steps) {
    if (section === 'hotUnplug' || section.startsWith('midMigration') || (section === 'hotPlug' && step.kind !== 'grow-disk'))
      add(path, 'template.not_with_restart', `a restart gives the type: ${step.kind} has nothing to do`);
    if (section === 'postMigration')
      add(path, 'template.not_with_restart', `${step.kind} needs an agent in the guest, and none is in it after a restart`);
  }
};

/** The move could not be undone any more where it failed. */
const postCopyFaults = (steps: readonly Placed[], add: Add): void => {
  for (const { path, section, step } of steps)
    if (section === 'midMigration.stopped' && step.kind !== 'rewire-nic')
      add(path, 'template.not_with_post_copy', `${step.kind} before the guest runs at the target would have to be undone where it fails`);
};

/** What other methods could not do, or have no use for. */
const optionFaults = (options: TemplateSpec['options'], add: Add): void => {
  const { method, postCopy } = options;
  for (const option of ['streams', 'throttle'] as const)
    if (options[option] && method !== 'pre-copy')
      add(`options.${option}`, 'template.not_with_method', `${option} is of pre-copy, and the method is ${method}`);
  if (postCopy && method !== 'post-copy')
    add('options.postCopy', 'template.not_with_method', `it says how a post-copy goes, and the method is ${method}`);
};

/** Bounded as a whole: the host announces the guest's place after that time, whatever its scripts do. */
const middleFaults = ({ midMigration, migration, options }: TemplateSpec, add: Add): void => {
  if (options.approval && migration.length === 0)
    add('options.approval', 'template.approval_without_move', 'nothing moves: there is no switch-over to be approved');
  if (!midMigration) return;
  const { withinMs, stopped, running } = midMigration;
  if (migration.length === 0 && stopped.length + running.length > 0)
    add('midMigration', 'template.mid_migration_without_move', 'nothing moves: there is no middle');
  const scripts = running.reduce((ms, s) => ms + (s.kind === 'guest-script' ? s.timeoutMs * (s.attempts ?? 1) : 0), 0);
  if (scripts > withinMs)
    add('midMigration.running', 'template.mid_migration_late', `the scripts may take ${scripts} ms, and withinMs is ${withinMs}`);
};

const nameFaults = (steps: readonly Placed[], add: Add): void => {
  const seen = new Map<string, string>();
  for (const { path, step } of steps) {
    const first = seen.get(step.name);
    if (first) add(path, 'template.name_taken', `${step.name} is the name of ${first} already`);
    else seen.set(step.name, path);
    if (reservedNames.includes(step.name)) add(path, 'template.name_reserved', `${step.name} is the name of a task that every move has`);
  }
};

/** A step inside the guest that waits for a plug which the template does not have. */
const partnerFaults = (steps: readonly Placed[], add: Add): void => {
  const has = (test: (s: TemplateStep) => boolean): boolean => steps.some(({ step }) => test(step));
  for (const { path, step } of steps) {
    if (step.kind === 'online-cpus' && !has((s) => s.kind === 'plug-cpus' && s.vcpus === step.vcpus))
      add(path, 'template.step_missing', `no step plugs CPUs up to ${step.vcpus}`);
    if (step.kind === 'online-memory' && !has((s) => s.kind === 'plug-memory' && s.memoryMiB === step.memoryMiB))
      add(path, 'template.step_missing', `no step plugs memory up to ${step.memoryMiB} MiB`);
    if (step.kind === 'grow-filesystem' && !has((s) => s.kind === 'grow-disk' && s.disk === step.disk))
      add(path, 'template.step_missing', `no step grows the disk ${step.disk}`);
  }
};

const plugNicFaults = (
  step: Extract<TemplateStep, { kind: 'plug-nic' }>,
  path: string,
  source: VmTypeSpec,
  target: VmTypeSpec,
  add: Add,
): void => {
  if (source.nics.some((n) => n.id === step.nic)) add(path, 'template.device_there', `the source type has the NIC ${step.nic} already`);
  else if (!target.nics.some((n) => n.id === step.nic && n.network === step.network))
    add(path, 'template.nic_unknown', `the target type has no NIC ${step.nic} on ${step.network}`);
};

const rewireFaults = (
  { nic, network }: Extract<TemplateStep, { kind: 'rewire-nic' }>,
  path: string,
  source: VmTypeSpec,
  target: VmTypeSpec,
  add: Add,
): void => {
  const [is, shall] = [source, target].map((t) => t.nics.find((n) => n.id === nic)?.network);
  if (is === undefined) add(path, 'template.nic_unknown', `the source type has no NIC ${nic}`);
  else if (shall !== network || is === shall)
    add(path, 'template.nic_not_rewired', `${nic} is on ${is}, and the target type has it on ${shall ?? 'no network'}`);
};

const deviceFaults = ({ path, step }: Placed, source: VmTypeSpec, target: VmTypeSpec, add: Add): void => {
  switch (step.kind) {
    case 'unplug-nic':
      if (!source.nics.some((n) => n.id === step.nic)) add(path, 'template.nic_unknown', `the source type has no NIC ${step.nic}`);
      else if (target.nics.some((n) => n.id === step.nic)) add(path, 'template.device_needed', `the target type has the NIC ${step.nic}`);
      return;
    case 'unplug-disk':
      if (!source.disks.some((d) => d.id === step.disk)) add(path, 'template.disk_unknown', `the source type has no disk ${step.disk}`);
      else if (target.disks.some((d) => d.id === step.disk))
        add(path, 'template.device_needed', `the target type has the disk ${step.disk}`);
      return;
    case 'plug-nic':
      return plugNicFaults(step, path, source, target, add);
    case 'rewire-nic':
      return rewireFaults(step, path, source, target, add);
    case 'grow-disk':
    case 'grow-filesystem':
      if (!source.disks.some((d) => d.id === step.disk) || !target.disks.some((d) => d.id === step.disk))
        add(path, 'template.disk_unknown', `the types do not both have a disk ${step.disk}`);
      return;
    case 'plug-memory':
      if ((step.memoryMiB - source.memoryMiB.now) % MEMORY_STEP_MIB !== 0)
        add(path, 'template.memory_step', `memory is plugged in multiples of ${MEMORY_STEP_MIB} MiB`);
      return;
    default:
      return;
  }
};

/** The VM gets the target type's name in the end, so the steps must make it that; with `hide`, they must not make it more. */
const resultFaults = (spec: TemplateSpec, steps: readonly Placed[], source: VmTypeSpec, target: VmTypeSpec, add: Add): void => {
  const hide = spec.options.newResources === 'hide';
  const reached = reachedIn(spec, steps, source, { target, hide });
  const exposes = steps.filter(({ step }) => ['plug-cpus', 'plug-memory', 'plug-nic', 'grow-disk'].includes(step.kind));
  if (hide) for (const { path, step } of exposes) add(path, 'template.plugs_while_hidden', `${step.kind} exposes what the options hide`);
  const wanted = new Set([...target.nics, ...target.disks].map((x) => x.id));
  for (const id of reached.left)
    if (!wanted.has(id)) add('hotUnplug', 'template.device_left', `no step unplugs ${id}, which the target type lacks`);
  const differs = (what: string, is: number, shall: number): void => {
    if (hide ? is > shall : is !== shall)
      add('hotPlug', 'template.result_differs', `the steps lead to ${is} ${what}, the target type has ${shall}`);
  };
  differs('vCPUs', reached.vcpus, target.vcpus.now);
  differs('MiB of memory', reached.memoryMiB, target.memoryMiB.now);
  if (hide) return;
  for (const { id } of target.nics) if (!reached.left.has(id)) add('hotPlug', 'template.result_differs', `no step plugs the NIC ${id}`);
  for (const d of target.disks) {
    // One that is larger than the target type has it stays so, unless a step makes it so: none makes a disk smaller.
    const [is, grown] = [reached.disks.get(d.id) ?? 0, steps.some(({ step }) => step.kind === 'grow-disk' && step.disk === d.id)];
    if (is < d.sizeMiB || grown) differs(`MiB on disk ${d.id}`, is, d.sizeMiB);
  }
};

type Aim = Readonly<{ target: VmTypeSpec; hide: boolean }>;
const reachedIn = (spec: TemplateSpec, steps: readonly Placed[], source: VmTypeSpec, aim: Aim) =>
  restarts(spec) ? reachedByRestart(steps, source, aim) : reachedBy(steps, source);
const reachedByRestart = (steps: readonly Placed[], source: VmTypeSpec, { target, hide }: Aim) => ({
  ...reachedBy(steps, source),
  vcpus: hide ? Math.min(source.vcpus.now, target.vcpus.now) : target.vcpus.now,
  memoryMiB: hide ? Math.min(source.memoryMiB.now, target.memoryMiB.now) : target.memoryMiB.now,
  left: new Set([...target.nics, ...target.disks].map((x) => x.id)),
});

/** What the steps make of a VM of the source type; `left`: its devices that none takes away. */
const reachedBy = (steps: readonly Placed[], source: VmTypeSpec) => {
  const reached = {
    vcpus: source.vcpus.now,
    memoryMiB: source.memoryMiB.now,
    disks: new Map(source.disks.map((d) => [d.id, d.sizeMiB])),
    left: new Set([...source.nics, ...source.disks].map((x) => x.id)),
  };
  for (const { step } of steps) {
    if (step.kind === 'plug-cpus') reached.vcpus = Math.max(reached.vcpus, step.vcpus);
    if (step.kind === 'unplug-cpus') reached.vcpus = Math.min(reached.vcpus, step.vcpus);
    if (step.kind === 'unplug-memory') reached.memoryMiB = Math.min(reached.memoryMiB, step.memoryMiB);
    if (step.kind === 'plug-nic') reached.left.add(step.nic);
    if (step.kind === 'plug-memory') reached.memoryMiB = Math.max(reached.memoryMiB, step.memoryMiB);
    if (step.kind === 'grow-disk') reached.disks.set(step.disk, step.sizeMiB);
    if (step.kind === 'unplug-nic') reached.left.delete(step.nic);
    if (step.kind === 'unplug-disk') reached.left.delete(step.disk);
  }
  return reached;
};
