import type { Coded, Image, ProvisioningEvent } from '@chrysalis/contracts';
import { accept, canonicalJson, reject, type Decider, type Decision } from '@chrysalis/kernel';

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

/** Decides on stream `image-<name>`. */
export const imageDecider: Decider<RegisterImage, ImageVersions, ImageEvent, Decision<ImageEvent, ImageRejection>> = {
  initial: new Map(),
  decide,
  evolve: (versions, e) => new Map(versions).set(e.data.image.version, e.data.image),
};
