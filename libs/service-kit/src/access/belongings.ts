import { kinds, type KindPath } from '@chrysalis/contracts';
import { isOfFleet, type Caller } from './tokens.ts';

/**
 * To whom a thing belongs. `tenant`: to one tenant; of what is another's nobody sees even that it is there. `shared`: to the fleet, and
 * every tenant's viewers may look. `fleet`: to the fleet, and only its administration may look.
 */
export type Owner = 'tenant' | 'shared' | 'fleet';

/** Beside the kinds of virtual resources, which are all tenants'. */
const others = {
  agents: 'fleet',
  allocations: 'tenant',
  'dead-letters': 'fleet',
  events: 'tenant',
  executors: 'shared',
  grants: 'tenant',
  hosts: 'shared',
  'image-files': 'shared',
  images: 'shared',
  'migration-options-queries': 'tenant',
  'migration-plans': 'tenant',
  'migration-templates': 'tenant',
  migrations: 'tenant',
  moves: 'tenant',
  operations: 'tenant',
  placements: 'shared',
  pools: 'shared',
  progress: 'tenant',
  'relay-audit': 'fleet',
  'relay-audits': 'fleet',
  'tenant-keys': 'tenant',
  'vm-types': 'shared',
  'volume-placements': 'shared',
  vms: 'tenant',
  'workflow-limits': 'shared',
  'workflow-policies': 'tenant',
  'workflow-queue': 'tenant',
  'workflow-templates': 'shared',
  workflows: 'tenant',
} as const satisfies Readonly<Record<string, Owner>>;
/**
 * The one table of what belongs to whom, by the first part of a path behind `/v1/`: for the guard, for the read models, and for the
 * services that answer. A service with a route to what is not in it does not start.
 */
export const belongings = { ...others, ...(Object.fromEntries(kinds.map((k) => [k.plural, 'tenant'])) as Record<KindPath, 'tenant'>) };

/** Undefined for a path that is no thing's, such as `/health/live`, and for things that nobody wrote down. */
export const ownerOf = (path: string): Owner | undefined => {
  const [, version, thing = ''] = path.split('/');
  return version === 'v1' && Object.hasOwn(belongings, thing) ? belongings[thing as keyof typeof belongings] : undefined;
};

/** The tenant whose things this caller reaches; undefined: every tenant's, for the fleet's administration. */
export const reachOf = (caller: Caller): string | undefined => (isOfFleet(caller) ? undefined : caller.tenant);

export const reaches = (caller: Caller, tenant: string): boolean => isOfFleet(caller) || caller.tenant === tenant;
