/** The projector's read models, as this door shows them. `shared`: not owned by a tenant, seen by all. */
export type Model = {
  readonly table: string;
  readonly noun: string;
  readonly shared?: true;
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
    filters: { state: 'state', host: 'hostId', type: 'type', name: 'name' },
    unless: { state: `data ->> 'state' <> 'deleted'` },
    heavy: ['topology'],
  },
  hosts: { table: 'hosts', noun: 'host', shared: true, filters: { state: 'state' } },
  allocations: {
    table: 'allocations',
    noun: 'allocation',
    shared: true,
    filters: { host: 'hostId', vm: 'vmId', state: 'state' },
    unless: { state: `data ->> 'state' = 'held'` },
  },
  vmTypes: { table: 'vm_types', noun: 'vm-type', shared: true },
  images: { table: 'images', noun: 'image', shared: true },
  templates: { table: 'templates', noun: 'template', shared: true },
  optionsQueries: { table: 'options_queries', noun: 'options-query' },
  characterisations: { table: 'characterisations', noun: 'characterisation' },
  plans: { table: 'plans', noun: 'plan' },
  migrations: { table: 'migrations', noun: 'migration', filters: { state: 'state' } },
  moves: { table: 'moves', noun: 'move', filters: { migration: 'migrationId', vm: 'vmId', state: 'state' } },
  workflows: { table: 'workflows', noun: 'workflow', filters: { state: 'state', subject: 'subject', name: 'name' } },
  graphs: { table: 'workflow_graphs', noun: 'workflow' },
  operations: { table: 'operations', noun: 'operation', filters: { state: 'state', subject: 'subject', kind: 'kind' } },
  grants: { table: 'grants', noun: 'grant', filters: { state: 'state' } },
} as const satisfies Record<string, Model>;
