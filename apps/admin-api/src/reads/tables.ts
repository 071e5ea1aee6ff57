import { kinds, type KindPath, type UnknownCode } from '@chrysalis/contracts';
import { belongings, type Owner } from '@chrysalis/service-kit';
import type { ReadTable } from '@chrysalis/service-kit/read-models';

/** The projector's read models, as this door shows them. */
export type Model = {
  readonly table: ReadTable;
  /** The code of one that is not there. */
  readonly unknown: UnknownCode;
  readonly owner: Owner;
  /** Beside a tenant's own also those of the fleet, which are everybody's to use. */
  readonly andFleets?: true;
  /** Query parameter -> column. */
  readonly filters?: Readonly<Record<string, string>>;
  /** `label=KEY=VALUE`, or several with commas between, is asked of its document’s `labels`: all must hold. */
  readonly labelled?: true;
  /** What holds of a `row` unless the filter of that name is given. */
  readonly unless?: Readonly<Record<string, string>>;
  /** Members that a list leaves out. */
  readonly heavy?: readonly string[];
};

export const models = {
  vms: {
    table: 'vms',
    unknown: 'vm.unknown',
    owner: belongings.vms,
    filters: { state: 'state', host: 'hostId', type: 'type', name: 'name' },
    labelled: true,
    unless: { state: `row.state <> 'deleted'` },
    heavy: ['topology'],
  },
  hosts: { table: 'hosts', unknown: 'host.unknown', owner: belongings.hosts, filters: { state: 'state' } },
  allocations: {
    table: 'allocations',
    unknown: 'allocation.unknown',
    owner: belongings.allocations,

    filters: { host: 'hostId', vm: 'vmId', state: 'state' },
    unless: { state: `row.state = 'held'` },
  },
  pools: { table: 'pools', unknown: 'pool.unknown', owner: belongings.pools, filters: { name: 'name' } },
  /** Who holds in them is tenants' own. */
  poolHolds: {
    table: 'pool_holds',
    unknown: 'allocation.unknown',
    owner: belongings.allocations,
    filters: { pool: 'poolId', state: 'state' },
    unless: { state: `row.state = 'held'` },
  },
  vmTypes: { table: 'vm_types', unknown: 'vm-type.unknown', owner: belongings['vm-types'] },
  images: { table: 'images', unknown: 'image.unknown', owner: belongings.images },
  templates: { table: 'templates', unknown: 'template.unknown', owner: belongings['migration-templates'] },
  optionsQueries: { table: 'options_queries', unknown: 'options-query.unknown', owner: belongings['migration-options-queries'] },
  characterisations: { table: 'characterisations', unknown: 'characterisation.unknown', owner: belongings.vms },
  plans: { table: 'plans', unknown: 'plan.unknown', owner: belongings['migration-plans'] },
  migrations: { table: 'migrations', unknown: 'migration.unknown', owner: belongings.migrations, filters: { state: 'state' } },
  moves: {
    table: 'moves',
    unknown: 'move.unknown',
    owner: belongings.moves,
    filters: { migration: 'migrationId', vm: 'vmId', state: 'state' },
  },
  workflows: {
    table: 'workflows',
    unknown: 'workflow.unknown',
    owner: belongings.workflows,
    filters: { state: 'state', subject: 'subject', name: 'name' },
  },
  graphs: { table: 'workflow_graphs', unknown: 'workflow.unknown', owner: belongings.workflows },
  operations: {
    table: 'operations',
    unknown: 'operation.unknown',
    owner: belongings.operations,
    filters: { state: 'state', subject: 'subject', kind: 'kind' },
  },
  grants: { table: 'grants', unknown: 'grant.unknown', owner: belongings.grants, filters: { state: 'state' } },
} as const satisfies Record<string, Model>;

/** Of each kind of virtual resource, by its path. */
export const kindModels = Object.fromEntries(
  kinds.map(({ noun, plural, filters }): [KindPath, Model] => [
    plural,
    {
      table: plural,
      unknown: `${noun}.unknown`,
      owner: belongings[plural],
      filters: { state: 'state', ...Object.fromEntries(Object.entries(filters).map(([name, { member }]) => [name, member])) },
      unless: { state: `row.state <> 'deleted'` },
    },
  ]),
) as Readonly<Record<KindPath, Model>>;
