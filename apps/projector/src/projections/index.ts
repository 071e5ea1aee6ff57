import type { KindNoun } from '@chrysalis/contracts';
import type { Handler } from '../projection.ts';
import { addresses } from './addresses.ts';
import { catalogue, grants } from './catalogue.ts';
import { allocations, hosts } from './hosts.ts';
import { migrations, optionsAndPlans } from './migrations.ts';
import { networks } from './networks.ts';
import { pools } from './pools.ts';
import { observations, vms } from './vms.ts';
import { volumes } from './volumes.ts';
import { workflows } from './workflows.ts';

/** Of each kind of virtual resource. */
const ofKinds: Readonly<Record<KindNoun, readonly Handler[]>> = { volume: volumes, network: networks, address: addresses };
const projections: readonly Handler[] = [
  ...vms,
  ...observations,
  ...Object.values(ofKinds).flat(),
  ...hosts,
  ...allocations,
  ...pools,
  ...catalogue,
  ...grants,
  ...optionsAndPlans,
  ...migrations,
  ...workflows,
];
/** What each event type changes. Types without an entry are in the feed alone. */
export const handlersOf: ReadonlyMap<string, readonly Handler[]> = Map.groupBy(projections, (h) => h.contract.type);
