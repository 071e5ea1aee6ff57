import { addressKind } from './address/kind.ts';
import { networkKind } from './network/kind.ts';
import { volumeKind } from './volume/kind.ts';

export type { Kind } from './kind.ts';

/** The registry: the kinds of virtual resources beside VMs. What is not derived from it does not compile without an entry for each. */
export const kinds = [volumeKind, networkKind, addressKind] as const;
/** Of a registry of a layer: `Record<KindNoun, …>`. */
export type KindNoun = (typeof kinds)[number]['noun'];
export type KindPath = (typeof kinds)[number]['plural'];
