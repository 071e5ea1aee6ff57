import { image, spec, type Thing } from './fleet-of-two.ts';

/**
 * Every route of every service, by every role, of the tenant whose thing is asked for, of another, and of the fleet. The routes come
 * from the services' own documents: one without a line here fails.
 *
 * `foreign`, for what is a tenant's: of `hidden` another tenant hears 404; in `apart` it finds its own; `refused` it may not say of
 * another's, nor take its name. `last`: takes the thing away.
 */
export type Things = Readonly<Record<Thing | 'letter', string>>;
export type Line = {
  readonly path?: (t: Things) => string;
  readonly body?: (t: Things) => unknown;
  readonly foreign?: 'hidden' | 'apart' | 'refused';
  readonly last?: true;
  /** The refusal of one who was let in. */
  readonly code?: string;
};
const why = { reason: 'a test' };
let subnets = 0;
const apart: Line = { foreign: 'apart' };
const hidden = (path: Line['path'] & object, more: Partial<Line> = {}): Line => ({ path, foreign: 'hidden', ...more });
const workflow = (rest: string, more?: Partial<Line>): Line => hidden((t) => `/v1/workflows/${t.workflowId}${rest}`, more);
const policy = (rest: string, more?: Partial<Line>): Line => hidden((t) => `/v1/workflow-policies/${t.policy}${rest}`, more);
const change = { type: 'skip-task', task: 'audit' };

export const lines: Readonly<Record<string, Line>> = {
  'GET /v1/allocations': apart,
  'GET /v1/dead-letters': {},
  'POST /v1/dead-letters/{}/redrive': { path: (t) => `/v1/dead-letters/${t.letter}/redrive` },
  'POST /v1/dead-letters/{}/discard': { path: (t) => `/v1/dead-letters/${t.letter}/discard`, last: true },
  'POST /v1/dead-letters/{}/{}/redrive': { path: (t) => `/v1/dead-letters/projector/${t.letter}/redrive` },
  'POST /v1/dead-letters/{}/{}/discard': { path: (t) => `/v1/dead-letters/projector/${t.letter}/discard`, last: true },
  'GET /v1/events': apart,
  'GET /v1/executors': {},
  'GET /v1/grants': apart,
  'POST /v1/grants': { body: ({ jws }) => ({ jws }), foreign: 'refused' },
  'DELETE /v1/grants/{}': hidden((t) => `/v1/grants/${t.grantId}`, { body: () => why, last: true }),
  'GET /v1/hosts': {},
  'GET /v1/hosts/{}': { path: () => '/v1/hosts/h1' },
  'POST /v1/hosts/{}/state': { path: () => '/v1/hosts/h1/state', body: () => ({ state: 'cordoned', ...why }) },
  'POST /v1/hosts/{}/audit': { path: () => '/v1/hosts/h1/audit', body: () => ({}) },
  'POST /v1/hosts/{}/release-agent': { path: () => '/v1/hosts/h1/release-agent', body: () => why, code: 'host-agent.unknown' },
  'GET /v1/image-files/{}': { path: () => `/v1/image-files/${image.digest}` },
  'PUT /v1/image-files/{}': {
    path: () => `/v1/image-files/${image.digest}`,
    body: () => ({ format: 'raw', bytes: 512, offset: 0, data: Buffer.alloc(512).toString('base64') }),
  },
  'POST /v1/image-files': { body: () => ({ path: 'disk', format: 'raw' }) },
  'GET /v1/images': {},
  'POST /v1/images': { body: () => ({ image }) },
  'DELETE /v1/images/{}/{}': { path: () => '/v1/images/linux/1', code: 'image.in_use' },
  'POST /v1/migration-options-queries': { body: ({ vmId }) => ({ vmIds: [vmId] }), foreign: 'hidden' },
  'GET /v1/migration-options-queries/{}': hidden((t) => `/v1/migration-options-queries/${t.queryId}`),
  'POST /v1/migration-plans': { body: ({ template, vmId }) => ({ template, vmIds: [vmId] }), foreign: 'hidden' },
  'GET /v1/migration-plans/{}': hidden((t) => `/v1/migration-plans/${t.planId}`),
  'GET /v1/migration-templates': apart,
  'POST /v1/migration-templates': {
    body: ({ template }) => ({ name: template, spec: templateSpec }),
    foreign: 'refused',
  },
  'GET /v1/migration-templates/{}': hidden((t) => `/v1/migration-templates/${t.template}`),
  'GET /v1/migration-templates/{}/{}': hidden((t) => `/v1/migration-templates/${t.template}/1`),
  'PUT /v1/migration-templates/{}': hidden((t) => `/v1/migration-templates/${t.template}`, { body: () => ({ spec: templateSpec }) }),
  'POST /v1/migration-templates/validate': { body: () => ({ spec: templateSpec }), foreign: 'apart' },
  'POST /v1/migration-templates/try': { body: ({ vmId }) => ({ spec: templateSpec, vmIds: [vmId] }), foreign: 'hidden' },
  'POST /v1/migration-templates/import': {
    body: ({ template }) => ({
      document: JSON.stringify({ kind: 'migration-template', schema: 1, name: template, spec: templateSpec }),
    }),
    foreign: 'refused',
  },
  'POST /v1/migration-templates/{}/clone': hidden((t) => `/v1/migration-templates/${t.template}/clone`, {
    body: () => ({ as: 'cloned' }),
  }),
  'GET /v1/migration-templates/{}/versions': hidden((t) => `/v1/migration-templates/${t.template}/versions`),
  'GET /v1/migration-templates/{}/{}/export': hidden((t) => `/v1/migration-templates/${t.template}/1/export`),
  'GET /v1/migration-templates/{}/{}/diff': hidden((t) => `/v1/migration-templates/${t.template}/1/diff`),
  'POST /v1/migration-templates/{}/retire': hidden((t) => `/v1/migration-templates/${t.template}/retire`, { last: true }),
  'DELETE /v1/migration-templates/{}': hidden((t) => `/v1/migration-templates/${t.template}`, { last: true }),
  'GET /v1/migrations': apart,
  'POST /v1/migrations': { body: ({ planId }) => ({ planId }), foreign: 'hidden' },
  'GET /v1/migrations/{}': hidden((t) => `/v1/migrations/${t.migrationId}`),
  'GET /v1/migrations/{}/logs': hidden((t) => `/v1/migrations/${t.migrationId}/logs`),
  'POST /v1/migrations/{}/approve': hidden((t) => `/v1/migrations/${t.migrationId}/approve`, { body: () => why }),
  'POST /v1/migrations/{}/reject': hidden((t) => `/v1/migrations/${t.migrationId}/reject`, { body: () => why }),
  'POST /v1/migrations/{}/pause': hidden((t) => `/v1/migrations/${t.migrationId}/pause`, { body: () => why }),
  'POST /v1/migrations/{}/resume': hidden((t) => `/v1/migrations/${t.migrationId}/resume`, { body: () => ({}) }),
  'POST /v1/migrations/{}/cancel': hidden((t) => `/v1/migrations/${t.migrationId}/cancel`, { body: () => why, last: true }),
  'GET /v1/moves': apart,
  'GET /v1/operations': apart,
  'GET /v1/operations/{}': hidden((t) => `/v1/operations/${t.operation}`),
  'GET /v1/operations/{}/events': hidden((t) => `/v1/operations/${t.operation}/events`),
  'POST /v1/operations/{}/cancel': hidden((t) => `/v1/operations/${t.operation}/cancel`, { body: () => why, last: true }),
  'POST /v1/placements': { body: () => ({}) },
  'GET /v1/pools': {},
  'GET /v1/pools/{}': { path: () => pool, code: 'pool.unknown' },
  'PATCH /v1/pools/{}': { path: () => pool, body: () => ({ ratioPerMille: 2000, ...why }), code: 'pool.unknown' },
  'GET /v1/progress': apart,
  'GET /v1/relay-audit': {},
  'POST /v1/relay-audit': { body: () => ({}) },
  'GET /v1/relay-audits': {},
  'POST /v1/relay-audits/{}': { path: () => '/v1/relay-audits/provisioning', body: () => ({}) },
  'POST /v1/tenant-keys': { body: ({ tenant }) => ({ tenant, kid: 'other-kid', publicKeyJwk }), foreign: 'refused' },
  'GET /v1/vm-types': {},
  'POST /v1/vm-types': { body: () => ({ name: 'small', spec: spec(1) }) },
  'GET /v1/vm-types/{}': { path: () => '/v1/vm-types/small' },
  'GET /v1/vm-types/{}/{}': { path: () => '/v1/vm-types/small/1' },
  'POST /v1/vm-types/{}/{}/deprecate': { path: () => '/v1/vm-types/small/1/deprecate', body: () => why, last: true },
  'GET /v1/vms': apart,
  'POST /v1/vms': { body: () => ({ name: 'web', type: 'small@1', image: 'linux@1' }), foreign: 'apart' },
  'GET /v1/vms/{}': hidden((t) => `/v1/vms/${t.vmId}`),
  'PATCH /v1/vms/{}': hidden((t) => `/v1/vms/${t.vmId}`, { body: () => ({ restart: 'always' }) }),
  'DELETE /v1/vms/{}': hidden((t) => `/v1/vms/${t.vmId}`, { last: true }),
  'POST /v1/vms/{}/filter': hidden((t) => `/v1/vms/${t.vmId}/filter`, { body: () => ({ allow: [] }), code: 'vm.on_no_network' }),
  'POST /v1/vms/{}/nics': hidden((t) => `/v1/vms/${t.vmId}/nics`, {
    body: ({ networkId }) => ({ network: networkId }),
    code: 'vm.in_move',
  }),
  'DELETE /v1/vms/{}/nics/{}': hidden((t) => `/v1/vms/${t.vmId}/nics/${t.networkId}`),
  'POST /v1/vms/{}/{}': hidden((t) => `/v1/vms/${t.vmId}/start`, { body: () => ({}) }),
  'GET /v1/networks': apart,
  'POST /v1/networks': { body: () => ({ name: 'back', subnet: `10.8.${++subnets}.0/24` }), foreign: 'apart' },
  'GET /v1/networks/{}': hidden((t) => `/v1/networks/${t.networkId}`),
  'DELETE /v1/networks/{}': hidden((t) => `/v1/networks/${t.networkId}`, { code: 'network.in_use' }),
  'GET /v1/addresses': apart,
  'POST /v1/addresses': { body: ({ networkId }) => ({ network: networkId }), foreign: 'hidden' },
  'GET /v1/addresses/{}': hidden((t) => `/v1/addresses/${t.addressId}`),
  'POST /v1/addresses/{}/bind': hidden((t) => `/v1/addresses/${t.addressId}/bind`, {
    body: ({ vmId }) => ({ vm: vmId }),
    code: 'address.not_on_network',
  }),
  'POST /v1/addresses/{}/unbind': hidden((t) => `/v1/addresses/${t.addressId}/unbind`, { body: () => ({}) }),
  'DELETE /v1/addresses/{}': hidden((t) => `/v1/addresses/${t.addressId}`, { last: true }),
  'POST /v1/volume-placements': { body: () => ({ pool: 'shared', sizeMiB: 64 }) },
  'GET /v1/volumes': apart,
  'POST /v1/volumes': { body: () => ({ name: 'data', sizeMiB: 64 }), foreign: 'apart' },
  'GET /v1/volumes/{}': hidden((t) => `/v1/volumes/${t.volumeId}`),
  'POST /v1/volumes/{}/attach': hidden((t) => `/v1/volumes/${t.volumeId}/attach`, {
    body: ({ vmId }) => ({ vm: vmId }),
    code: 'vm.in_move',
  }),
  'POST /v1/volumes/{}/detach': hidden((t) => `/v1/volumes/${t.volumeId}/detach`, { body: () => ({}) }),
  'POST /v1/volumes/{}/grow': hidden((t) => `/v1/volumes/${t.volumeId}/grow`, { body: () => ({ sizeMiB: 128 }) }),
  'DELETE /v1/volumes/{}': hidden((t) => `/v1/volumes/${t.volumeId}`, { last: true }),
  'GET /v1/vms/{}/console': hidden((t) => `/v1/vms/${t.vmId}/console`, { code: 'console.upgrade_required' }),
  'GET /v1/vms/{}/console-log': hidden((t) => `/v1/vms/${t.vmId}/console-log`, { code: 'console.host_away' }),
  'GET /v1/vms/{}/screen': hidden((t) => `/v1/vms/${t.vmId}/screen`, { code: 'console.host_away' }),
  'GET /v1/workflow-limits': {},
  'PUT /v1/workflow-limits': { body: () => ({}) },
  'GET /v1/workflow-policies': apart,
  'POST /v1/workflow-policies': {
    body: ({ tenant, policy: name }) => ({
      name,
      tenant,
      summary: 'of a tenant',
      on: { event: 'chrysalis.provisioning.vm.deleted.v1' },
      start: { template: 'audit-holds@1', params: {}, subject: 'x' },
    }),
    foreign: 'refused',
  },
  'GET /v1/workflow-policies/{}': policy(''),
  'POST /v1/workflow-policies/{}/enable': policy('/enable', { body: () => why }),
  'POST /v1/workflow-policies/{}/disable': policy('/disable', { body: () => why }),
  'POST /v1/workflow-policies/{}/test': policy('/test', { body: () => ({ event: { type: 'chrysalis.x.v1', data: {} } }) }),
  'DELETE /v1/workflow-policies/{}': policy('', { body: () => why, last: true }),
  'GET /v1/workflow-queue': apart,
  'GET /v1/workflow-templates': {},
  'POST /v1/workflow-templates': { body: () => ({}) },
  'POST /v1/workflow-templates/validate': { body: () => ({}) },
  'GET /v1/workflow-templates/schema': {},
  'GET /v1/workflow-templates/{}': { path: () => '/v1/workflow-templates/audit-holds' },
  'GET /v1/workflow-templates/{}/{}': { path: () => '/v1/workflow-templates/audit-holds/1' },
  'GET /v1/workflow-templates/{}/{}/analysis': { path: () => '/v1/workflow-templates/audit-holds/1/analysis' },
  'DELETE /v1/workflow-templates/{}': { path: () => '/v1/workflow-templates/retire-vm-type', last: true },
  'GET /v1/workflows': apart,
  'POST /v1/workflows': { body: () => ({ template: 'audit-holds', params: {} }), foreign: 'apart' },
  'GET /v1/workflows/{}': workflow(''),
  'GET /v1/workflows/{}/analysis': workflow('/analysis'),
  'GET /v1/workflows/{}/history': workflow('/history'),
  'GET /v1/workflows/{}/tasks/{}/items': workflow('/tasks/audit/items', { code: 'workflow.items_unknown' }),
  'POST /v1/workflows/{}/changes': workflow('/changes', { body: () => ({ change, ...why }) }),
  'POST /v1/workflows/{}/cancel': workflow('/cancel', { body: () => why, last: true }),
  'POST /v1/workflows/{}/undo': workflow('/undo', { body: () => why, last: true }),
};
const pool = '/v1/pools/pool-0199c0de-0000-7000-8000-0000000000b1';
const publicKeyJwk = { kty: 'OKP', crv: 'Ed25519', x: 'a'.repeat(43) };
const templateSpec = {
  sourceType: { name: 'small', version: 1 },
  preMigration: [],
  hotUnplug: [],
  migration: [],
  hotPlug: [{ kind: 'plug-cpus', name: 'grow', vcpus: 2 }],
  postMigration: [{ kind: 'online-cpus', name: 'use', vcpus: 2 }],
  options: {
    targetType: { name: 'large', version: 1 },
    method: 'pre-copy',
    newResources: 'expose',
    augmentation: [],
    emulateIncompatible: false,
    downtimeLimitMs: 300,
    maxBandwidthMiBps: 100,
  },
};
