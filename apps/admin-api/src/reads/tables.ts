import { belongings, type Owner } from '@chrysalis/service-kit';

/** The projector's read models, as this door shows them. */
export type Model = {
  readonly table: string;
  readonly noun: string;
  readonly owner: Owner;
  /** Beside a tenant's own also those of the fleet, which are everybody's to use. */
  readonly andFleets?: true;
  /** Query parameter -> member of the document. */
  readonly filters?: Readonly<Record<string, string>>;
  /** A condition that holds unless the filter of that name is given. */
  readonly unless?: Readonly<Record<string, string>>;
  /** Members that a list leaves out. */
  readonly heavy?: readonly string[];
};

export const models = {
  vms: {
    table: 'vms',
    noun: 'vm',
    owner: belongings.vms,
    filters: { state: 'state', host: 'hostId', type: 'type', name: 'name' },
    unless: { state: `data ->> 'state' <> 'deleted'` },
    heavy: ['topology'],
  },
  hosts: { table: 'hosts', noun: 'host', owner: belongings.hosts, filters: { state: 'state' } },
  allocations: {
    table: 'allocations',
    noun: 'allocation',
    owner: belongings.allocations,

    filters: { host: 'hostId', vm: 'vmId', state: 'state' },
    unless: { state: `data ->> 'state' = 'held'` },
  },
  vmTypes: { table: 'vm_types', noun: 'vm-type', owner: belongings['vm-types'] },
  images: { table: 'images', noun: 'image', owner: belongings.images },
  templates: { table: 'templates', noun: 'template', owner: belongings['migration-templates'] },
  optionsQueries: { table: 'options_queries', noun: 'options-query', owner: belongings['migration-options-queries'] },
  characterisations: { table: 'characterisations', noun: 'characterisation', owner: belongings.vms },
  plans: { table: 'plans', noun: 'plan', owner: belongings['migration-plans'] },
  migrations: { table: 'migrations', noun: 'migration', owner: belongings.migrations, filters: { state: 'state' } },
  moves: { table: 'moves', noun: 'move', owner: belongings.moves, filters: { migration: 'migrationId', vm: 'vmId', state: 'state' } },
  workflows: {
    table: 'workflows',
    noun: 'workflow',
    owner: belongings.workflows,
    filters: { state: 'state', subject: 'subject', name: 'name' },
  },
  graphs: { table: 'workflow_graphs', noun: 'workflow', owner: belongings.workflows },
  operations: {
    table: 'operations',
    noun: 'operation',
    owner: belongings.operations,
    filters: { state: 'state', subject: 'subject', kind: 'kind' },
  },
  grants: { table: 'grants', noun: 'grant', owner: belongings.grants, filters: { state: 'state' } },
} as const satisfies Record<string, Model>;
