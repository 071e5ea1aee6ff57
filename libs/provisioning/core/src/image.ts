import {
  disksOf,
  refText,
  ROOT_DISK,
  type Coded,
  type Image,
  type ProvisioningEvent,
  type Ref,
  type VmTypeSpec,
} from '@chrysalis/contracts';
import { accept, canonicalJson, reject, unreachable, type Decider, type Decision } from '@chrysalis/kernel';
import { MAX_DEVICES } from './vm-type.ts';

/** `deleted`: of these nothing is made any more. */
export type ImageVersions = Readonly<{ there: ReadonlyMap<number, Image>; deleted: ReadonlyMap<number, Image> }>;
export type RegisterImage = Readonly<{ type: 'register'; image: Image }>;
/** `uses`: who is made of it, or is being made. */
export type DeleteImage = Readonly<{ type: 'delete'; name: string; version: number; uses: readonly string[] }>;
export type ImageEvent = Extract<
  ProvisioningEvent,
  { type: 'chrysalis.provisioning.image.registered.v1' | 'chrysalis.provisioning.image.deleted.v1' }
>;
export type ImageRejection = Coded<
  | { readonly code: 'image.conflict'; readonly message: string; readonly registered: Image }
  | { readonly code: 'image.deleted'; readonly message: string; readonly highest: number }
  | { readonly code: 'image.unknown'; readonly image: string }
  | { readonly code: 'image.in_use'; readonly message: string; readonly image: string; readonly uses: string }
>;
type ImageDecision = Decision<ImageEvent, ImageRejection>;

/** A version is what it is for ever: VMs are pinned to it. The same again says nothing, and brings one back that was deleted. */
const register = ({ image }: RegisterImage, { there, deleted }: ImageVersions): ImageDecision => {
  const [known, before] = [there.get(image.version), deleted.get(image.version)];
  const event: ImageEvent = { type: 'chrysalis.provisioning.image.registered.v1', data: { image } };
  const same = canonicalJson(known ?? before ?? image) === canonicalJson(image);
  if (same) return known ? accept() : accept(event);
  const now = 'give the new one a new version';
  const highest = Math.max(...there.keys(), ...deleted.keys());
  if (!known) return reject({ code: 'image.deleted', message: `${refText(image)} was deleted, and had another content: ${now}`, highest });
  return reject({ code: 'image.conflict', message: `${refText(image)} is registered with another content: ${now}`, registered: known });
};

/** As many as are worth reading. */
const NAMED = 10;
/** Whoever is made of it is named; one that is deleted already is. */
const remove = ({ name, version, uses }: DeleteImage, { there, deleted }: ImageVersions): ImageDecision => {
  const image = there.get(version);
  if (!image) return deleted.has(version) ? accept() : reject({ code: 'image.unknown', image: `${name}@${version}` });
  if (uses.length === 0) return accept({ type: 'chrysalis.provisioning.image.deleted.v1', data: { name, version, digest: image.digest } });
  const named = `${uses.slice(0, NAMED).join(', ')}${uses.length > NAMED ? ` and ${uses.length - NAMED} more` : ''}`;
  return reject({ code: 'image.in_use', message: `${refText(image)} is used by ${named}`, image: refText(image), uses: named });
};

/** Without a version: the newest that is there. */
export const imageAt = ({ there }: ImageVersions, version?: number): Image | undefined => there.get(version ?? Math.max(...there.keys()));

const without = (versions: ReadonlyMap<number, Image>, version: number): ReadonlyMap<number, Image> => {
  const rest = new Map(versions);
  rest.delete(version);
  return rest;
};
const evolve = ({ there, deleted }: ImageVersions, e: ImageEvent): ImageVersions => {
  switch (e.type) {
    case 'chrysalis.provisioning.image.registered.v1': {
      const { image } = e.data;
      return { there: new Map(there).set(image.version, image), deleted: without(deleted, image.version) };
    }
    case 'chrysalis.provisioning.image.deleted.v1': {
      const image = there.get(e.data.version);
      return image ? { there: without(there, image.version), deleted: new Map(deleted).set(image.version, image) } : { there, deleted };
    }
    default:
      return unreachable(e);
  }
};

export type ImageMisfit = Coded<
  | { code: 'image.too_large'; message: string; image: string; vmType: string; needMiB: number; sizeMiB: number }
  | { code: 'image.no_room'; message: string; image: string; vmType: string }
>;
/**
 * Why a VM of this type cannot boot from this image, with a seed or without: what its host would say minutes later, after it has fetched
 * the image.
 */
export const misfitOf = (image: Image, of: Ref, spec: VmTypeSpec, seeded: boolean): ImageMisfit | undefined => {
  const disks = disksOf(spec, image);
  const named = { image: refText(image), vmType: refText(of) };
  const sizeMiB = disks.find((d) => d.id === ROOT_DISK)?.sizeMiB ?? 0;
  if (image.disk && sizeMiB < image.disk.sizeMiB) {
    const needMiB = image.disk.sizeMiB;
    const message = `${named.image} is a disk of ${needMiB} MiB, and the disk ${ROOT_DISK} of ${named.vmType} has ${sizeMiB}`;
    return { code: 'image.too_large', message, ...named, needMiB, sizeMiB };
  }
  const devices = disks.length + spec.nics.length + (seeded ? 1 : 0);
  if (devices <= MAX_DEVICES) return undefined;
  const how = seeded ? ' with a seed' : '';
  const message = `a VM of ${named.vmType} that boots from ${named.image}${how} has ${devices} disks and NICs, and there are ports for ${MAX_DEVICES}`;
  return { code: 'image.no_room', message, ...named };
};

/** Decides on stream `image-<name>`. */
export const imageDecider: Decider<RegisterImage | DeleteImage, ImageVersions, ImageEvent, ImageDecision> = {
  initial: { there: new Map(), deleted: new Map() },
  decide: (command, versions) => (command.type === 'register' ? register(command, versions) : remove(command, versions)),
  evolve,
};
