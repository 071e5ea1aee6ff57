import { refText, type Ref, type TemplateSpec } from '@chrysalis/contracts';
import { canonicalJson } from '@chrysalis/kernel';

/** Names that are made here are nobody else's to take: what is published under one is gone by at the next run. */
export const isMadeName = (name: string): boolean => /^(relocate|become)-/.test(name);

export const madeStem = (from: Ref, to: Ref): string =>
  refText(from) === refText(to) ? `relocate-${hyphened(from)}` : `become-${hyphened(from)}-${hyphened(to)}`;
const hyphened = ({ name, version }: Ref): string => `${name}-${version}`;

const MAX_NAME = 63;
/** A name that would be too long keeps its beginning, and is told apart by a sum of all of it. */
export const bounded = (name: string): string => (name.length <= MAX_NAME ? name : summed(name, name));

/** The same content has the same name; where two contents have one, they are two versions of it. */
export const contentName = (spec: TemplateSpec): string => summed(madeStem(spec.sourceType, spec.options.targetType), canonicalJson(spec));

/** FNV-1a. */
const summed = (stem: string, text: string): string => {
  let sum = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) sum = Math.imul(sum ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return `${stem.slice(0, MAX_NAME - 9)}-${sum.toString(16).padStart(8, '0')}`;
};
