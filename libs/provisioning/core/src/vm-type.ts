import { type Coded, diskSerial, faultsIn, isWord, type ProvisioningEvent, type Ref, refText, VmTypeSpec } from '@chrysalis/contracts';
import { accept, canonicalJson, droppedMembers, reject, unreachable, type Decider, type Decision } from '@chrysalis/kernel';

/** One fault of a spec; `path` is where, as `memoryMiB.now`. */
export type Fault = Readonly<{ path: string; message: string }>;
/** Versions in order: version n is at n - 1. A version never changes. */
export type VmType = Readonly<{ name?: string; versions: readonly VmTypeSpec[]; deprecated: ReadonlyMap<number, Deprecation> }>;
export type Deprecation = Readonly<{ reason: string; replacement?: Ref | undefined }>;
export type PublishVmType = Readonly<{ type: 'publish'; name: string; spec: unknown }>;
/** `replacementKnown`: that it was published; it may be of another name, hence of another stream. */
export type DeprecateVmType = Readonly<{
  type: 'deprecate';
  name: string;
  version: number;
  reason: string;
  replacement?: Ref | undefined;
  replacementKnown: boolean;
}>;
export type VmTypeCommand = PublishVmType | DeprecateVmType;
export type VmTypeEvent = Extract<
  ProvisioningEvent,
  { type: 'chrysalis.provisioning.vm-type.published.v1' | 'chrysalis.provisioning.vm-type.deprecated.v1' }
>;
export type VmTypeRejection = Coded<
  | { readonly code: 'vm-type.invalid'; readonly message: string; readonly faults: readonly Fault[] }
  /** `member`: it is not the type itself that is unknown, but one that this member names. */
  | { readonly code: 'vm-type.unknown'; readonly vmType: string; readonly member?: 'replacement' }
>;

/** Every fault at once: of the shape, or if that is sound, of what it would mean. */
export const faultsOf = (spec: unknown): readonly Fault[] => {
  const parsed = VmTypeSpec.safeParse(spec);
  if (!parsed.success) return faultsIn(parsed.error, '(spec)');
  const unknown = droppedMembers(spec, parsed.data).map((path) => fault(path, 'no VM type has such a member'));
  return [...unknown, ...sizeFaults(parsed.data), ...idFaults(parsed.data), ...cpuFaults(parsed.data)];
};

const fault = (path: string, message: string): Fault => ({ path, message });

const sizeFaults = ({ vcpus, memoryMiB, disks, nics }: VmTypeSpec): Fault[] => [
  ...(vcpus.now > vcpus.max ? [fault('vcpus.now', `${vcpus.now} is more than max, ${vcpus.max}`)] : []),
  ...(memoryMiB.now > memoryMiB.max ? [fault('memoryMiB.now', `${memoryMiB.now} is more than max, ${memoryMiB.max}`)] : []),
  // Memory is plugged in multiples of 2 MiB; a size in between could never be reached by plugging.
  ...(['now', 'max'] as const).flatMap((k) => (memoryMiB[k] % 2 === 0 ? [] : [fault(`memoryMiB.${k}`, 'must be a multiple of 2')])),
  ...(disks.length + nics.length > MAX_DEVICES
    ? [fault('(spec)', `${disks.length + nics.length} devices, and there are ports for ${MAX_DEVICES}`)]
    : []),
];
/** A guest boots with 8 root ports, one device a port; one stays free for the disk that brings the migration agent. */
export const MAX_DEVICES = 7;

/** Disks and NICs share one name space: a template's step says `extra`, and means one thing. */
const idFaults = ({ disks, nics }: VmTypeSpec): Fault[] => [...twice(disks, nics), ...oneSerial(disks)];

/** Of two long names made to have one digest the guest would see one serial number: a VM of that type would not start. */
const oneSerial = (disks: VmTypeSpec['disks']): Fault[] =>
  disks.flatMap(({ id }, i) => {
    const other = disks.slice(0, i).find((d) => d.id !== id && diskSerial(d.id) === diskSerial(id));
    return other ? [fault(`disks.${i}.id`, `${id} would have the serial number of ${other.id}: give it another name`)] : [];
  });

const twice = (disks: VmTypeSpec['disks'], nics: VmTypeSpec['nics']): Fault[] => {
  const seen = new Set<string>();
  const all = [...disks.map((d, i) => [`disks.${i}.id`, d.id] as const), ...nics.map((n, i) => [`nics.${i}.id`, n.id] as const)];
  return all.flatMap(([path, id]) => (seen.has(id) ? [fault(path, `${id} is there twice`)] : (seen.add(id), [])));
};

/** A guest with these models has the features of the host it started on, and cannot leave it. */
const cpuFaults = ({ cpuModel }: VmTypeSpec): Fault[] =>
  ['host', 'max'].includes(cpuModel)
    ? [fault('cpuModel', `${cpuModel} is another CPU on each host: name a model`)]
    : isWord(cpuModel)
      ? []
      : [fault('cpuModel', 'a CPU model is one word of letters, digits, ., _ and -')];

export const versionOf = (type: VmType, spec: VmTypeSpec): number | undefined => {
  const wanted = canonicalJson(spec);
  const index = type.versions.findIndex((v) => canonicalJson(v) === wanted);
  return index < 0 ? undefined : index + 1;
};

/** `version` absent: the newest that is not deprecated, or else the newest. */
export const specAt = (type: VmType, version?: number): { ref: Ref; spec: VmTypeSpec } | undefined => {
  const current = type.versions.findLastIndex((_, i) => !type.deprecated.has(i + 1)) + 1;
  const n = version ?? (current > 0 ? current : type.versions.length);
  const spec = type.versions[n - 1];
  return spec && type.name !== undefined ? { ref: { name: type.name, version: n }, spec } : undefined;
};

const decide = (cmd: VmTypeCommand, state: VmType): Decision<VmTypeEvent, VmTypeRejection> =>
  cmd.type === 'publish' ? publish(cmd, state) : deprecate(cmd, state);

const message = 'a version cannot replace itself';
const replacesItself = { code: 'vm-type.invalid', message, faults: [{ path: 'replacement', message }] } as const;

/** The same again says nothing; another reason or replacement is told. */
const deprecate = (cmd: DeprecateVmType, state: VmType): Decision<VmTypeEvent, VmTypeRejection> => {
  const { name, version, reason, replacement } = cmd;
  if (!state.versions[version - 1]) return reject({ code: 'vm-type.unknown', vmType: `${name}@${version}` });
  if (replacement && refText(replacement) === `${name}@${version}`) return reject(replacesItself);
  if (replacement && !cmd.replacementKnown) return reject({ code: 'vm-type.unknown', vmType: refText(replacement), member: 'replacement' });
  const data = { name, version, reason, ...(replacement ? { replacement } : {}) };
  const { name: _, version: __, ...next } = data;
  if (canonicalJson(state.deprecated.get(version) ?? null) === canonicalJson(next)) return accept();
  return accept({ type: 'chrysalis.provisioning.vm-type.deprecated.v1', data });
};

const publish = (cmd: PublishVmType, state: VmType): Decision<VmTypeEvent, VmTypeRejection> => {
  const faults = faultsOf(cmd.spec);
  if (faults.length > 0)
    return reject({
      code: 'vm-type.invalid',
      message: faults
        .map((f) => `${f.path}: ${f.message}`)
        .join('; ')
        .slice(0, 2000),
      faults,
    });
  const spec = VmTypeSpec.parse(cmd.spec);
  if (versionOf(state, spec) !== undefined) return accept(); // the same spec is the same version
  return accept({
    type: 'chrysalis.provisioning.vm-type.published.v1',
    data: { name: cmd.name, version: state.versions.length + 1, spec },
  });
};

/** Decides on stream `vm-type-<name>`. */
export const vmTypeDecider: Decider<VmTypeCommand, VmType, VmTypeEvent, Decision<VmTypeEvent, VmTypeRejection>> = {
  initial: { versions: [], deprecated: new Map() },
  decide,
  evolve: (state, e) => {
    switch (e.type) {
      case 'chrysalis.provisioning.vm-type.published.v1':
        return { ...state, name: e.data.name, versions: [...state.versions, e.data.spec] };
      case 'chrysalis.provisioning.vm-type.deprecated.v1': {
        const { name: _, version, ...why } = e.data;
        return { ...state, deprecated: new Map(state.deprecated).set(version, why) };
      }
      default:
        return unreachable(e);
    }
  },
};
