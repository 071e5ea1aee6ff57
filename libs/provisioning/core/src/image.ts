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
import { accept, canonicalJson, reject, type Decider, type Decision } from '@chrysalis/kernel';
import { MAX_DEVICES } from './vm-type.ts';

export type ImageVersions = ReadonlyMap<number, Image>;
export type RegisterImage = Readonly<{ type: 'register'; image: Image }>;
export type ImageEvent = Extract<ProvisioningEvent, { type: 'chrysalis.provisioning.image.registered.v1' }>;
export type ImageRejection = Coded<{ readonly code: 'image.conflict'; readonly message: string; readonly registered: Image }>;

/** A version is what it is for ever: VMs are pinned to it. The same again says nothing. */
const decide = ({ image }: RegisterImage, versions: ImageVersions): Decision<ImageEvent, ImageRejection> => {
  const known = versions.get(image.version);
  if (!known) return accept({ type: 'chrysalis.provisioning.image.registered.v1', data: { image } });
  if (canonicalJson(known) === canonicalJson(image)) return accept();
  return reject({
    code: 'image.conflict',
    message: `${image.name}@${image.version} is registered with another content: give the new one a new version`,
    registered: known,
  });
};

export const imageAt = (versions: ImageVersions, version?: number): Image | undefined =>
  versions.get(version ?? Math.max(...versions.keys()));

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
export const imageDecider: Decider<RegisterImage, ImageVersions, ImageEvent, Decision<ImageEvent, ImageRejection>> = {
  initial: new Map(),
  decide,
  evolve: (versions, e) => new Map(versions).set(e.data.image.version, e.data.image),
};
