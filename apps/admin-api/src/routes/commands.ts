import { Controller, Delete, Get, Inject, Patch, Post, Put, Req } from '@nestjs/common';
import { kinds, type Context } from '@chrysalis/contracts';
import { Allow, Doc, type Answer, type ApiRequest, type Needed } from '@chrysalis/service-kit';
import { Owners } from '../owners.ts';
import { passedDoc } from './docs.ts';

export type Passed = {
  readonly name: string;
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  readonly path: string;
  readonly owner: Context;
  readonly role: Needed;
  readonly summary: string;
};
/** `verb` is `post /path`. */
const route = (name: string, verb: string, owner: Context, role: Needed, summary: string): Passed => {
  const [method, path] = verb.split(' ') as [Passed['method'], string];
  return { name, method, path, owner, role, summary };
};

/** Commands are decided by their owners, and what has no read model is read there; what they take and answer is in the owner's part of the OpenAPI document. */
const passed: readonly Passed[] = [
  route(
    'publishType',
    'post /v1/vm-types',
    'provisioning',
    'operator',
    'Publish a version of a VM type; the same again is the same version',
  ),
  route(
    'deprecateType',
    'post /v1/vm-types/:name/:version/deprecate',
    'provisioning',
    'operator',
    'A version of a VM type takes no new VMs any more',
  ),
  route('registerImage', 'post /v1/images', 'provisioning', 'operator', 'Register a version of an image'),
  route('deleteImage', 'delete /v1/images/:name/:version', 'provisioning', 'operator', 'Delete a version of an image that nothing uses'),
  route('imageFile', 'get /v1/image-files/:digest', 'provisioning', 'viewer', 'How far the file of a disk is'),
  route('putImageFile', 'put /v1/image-files/:digest', 'provisioning', 'operator', 'A piece of the file of a disk'),
  route('takeImageFile', 'post /v1/image-files', 'provisioning', 'operator', 'Take a disk from the folder for imports'),
  route('createVm', 'post /v1/vms', 'provisioning', 'operator', 'Create a VM: answers with an operation to wait for'),
  route('changeVm', 'patch /v1/vms/:id', 'provisioning', 'operator', 'Change what is done where a VM goes off though it is meant to run'),
  route(
    'setVmFilter',
    'post /v1/vms/:id/filter',
    'provisioning',
    'operator',
    'Change what may come in to a VM from its networks: answers with an operation',
  ),
  route('attachNic', 'post /v1/vms/:id/nics', 'provisioning', 'operator', 'Give a VM a NIC on a network: answers with an operation'),
  route('detachNic', 'delete /v1/vms/:id/nics/:network', 'provisioning', 'operator', 'Take a VM from a network: answers with an operation'),
  route('deleteVm', 'delete /v1/vms/:id', 'provisioning', 'operator', 'Delete a VM and its volumes: answers with an operation'),
  route(
    'actOnVm',
    'post /v1/vms/:id/:action',
    'provisioning',
    'operator',
    'Start, stop, reboot, reset, pause or resume a VM: answers with an operation, or that it is so already',
  ),
  route('console', 'get /v1/vms/:id/console', 'agent-gateway', 'operator', "A VM's serial console, as a WebSocket"),
  route('consoleLog', 'get /v1/vms/:id/console-log', 'agent-gateway', 'operator', 'What a VM wrote to its serial console'),
  route('setHostState', 'post /v1/hosts/:id/state', 'resource-allocation', 'operator', 'Enable, cordon, drain or retire a host'),
  route(
    'auditHost',
    'post /v1/hosts/:id/audit',
    'workflow',
    'operator',
    'Look what a host has of VMs and is not to have, and with `remove` take it away: answers with an operation',
  ),
  route(
    'releaseAgent',
    'post /v1/hosts/:id/release-agent',
    'agent-gateway',
    'admin',
    'Take a host that was replaced from its agent, for good: the next agent that comes has it',
  ),
  route(
    'tryPlacement',
    'post /v1/placements',
    'resource-allocation',
    'viewer',
    'Where could this go? Nothing is held; a reason for each refused host',
  ),
  route(
    'changePool',
    'patch /v1/pools/:id',
    'resource-allocation',
    'admin',
    'Say how much of a storage pool may be promised, and whether its files are made thin or in full',
  ),
  route(
    'tryVolumePlacement',
    'post /v1/volume-placements',
    'resource-allocation',
    'viewer',
    'Where could a volume be made? Nothing is held; a reason for each refused host',
  ),
  route(
    'queryOptions',
    'post /v1/migration-options-queries',
    'migration-templates',
    'operator',
    'To which types, with which options, can these VMs go?',
  ),
  route(
    'establishTemplate',
    'post /v1/migration-templates',
    'migration-templates',
    'operator',
    'Publish a version of a migration template',
  ),
  route(
    'validateTemplate',
    'post /v1/migration-templates/validate',
    'migration-templates',
    'viewer',
    'What publishing the spec of a migration template would find wrong; nothing is kept',
  ),
  route(
    'tryTemplate',
    'post /v1/migration-templates/try',
    'migration-templates',
    'operator',
    'What a plan by a spec would be for these VMs; nothing is kept',
  ),
  route(
    'importTemplate',
    'post /v1/migration-templates/import',
    'migration-templates',
    'operator',
    'Publish a version from a document, YAML or JSON',
  ),
  route(
    'cloneTemplate',
    'post /v1/migration-templates/:name/clone',
    'migration-templates',
    'operator',
    'Publish a template under another name',
  ),
  route('updateTemplate', 'put /v1/migration-templates/:name', 'migration-templates', 'operator', 'Change a template: its newest version'),
  route(
    'retireTemplate',
    'post /v1/migration-templates/:name/retire',
    'migration-templates',
    'operator',
    'Retire a template: it takes no new migrations',
  ),
  route(
    'deleteTemplate',
    'delete /v1/migration-templates/:name',
    'migration-templates',
    'operator',
    'Delete a template that no migration uses',
  ),
  route(
    'templateVersions',
    'get /v1/migration-templates/:name/versions',
    'migration-templates',
    'viewer',
    'The versions of a migration template',
  ),
  route(
    'exportTemplate',
    'get /v1/migration-templates/:name/:version/export',
    'migration-templates',
    'viewer',
    'A version of a migration template as a document, YAML or JSON',
  ),
  route(
    'diffTemplate',
    'get /v1/migration-templates/:name/:version/diff',
    'migration-templates',
    'viewer',
    'What leads from one version of a migration template to another',
  ),
  route(
    'makePlan',
    'post /v1/migration-plans',
    'migration-templates',
    'operator',
    'Work a migration out in full, with every blocker; nothing is touched',
  ),
  route('startMigration', 'post /v1/migrations', 'migration-templates', 'operator', 'Run a plan: answers with an operation'),
  route('cancelMigration', 'post /v1/migrations/:id/cancel', 'migration-templates', 'operator', 'Cancel a migration'),
  route(
    'pauseMigration',
    'post /v1/migrations/:id/pause',
    'migration-templates',
    'operator',
    'Begin no further move of a migration for a time; what runs goes on',
  ),
  route('resumeMigration', 'post /v1/migrations/:id/resume', 'migration-templates', 'operator', 'Go on with a migration that is paused'),
  route(
    'approveMigration',
    'post /v1/migrations/:id/approve',
    'migration-templates',
    'operator',
    'Approve of the switch-over of the moves of a migration that wait for it',
  ),
  route(
    'rejectMigration',
    'post /v1/migrations/:id/reject',
    'migration-templates',
    'operator',
    'Reject the switch-over of the moves of a migration that wait for an approval: they are undone',
  ),
  route(
    'cancelWorkflow',
    'post /v1/workflows/:id/cancel',
    'workflow',
    'operator',
    'Cancel a workflow: finished tasks are undone where they can be',
  ),
  route(
    'establishPolicy',
    'post /v1/workflow-policies',
    'workflow',
    'operator',
    'Write down a policy: a schedule or an event that starts a workflow',
  ),
  route('listPolicies', 'get /v1/workflow-policies', 'workflow', 'viewer', 'The workflow policies by name'),
  route('getPolicy', 'get /v1/workflow-policies/:name', 'workflow', 'viewer', 'A workflow policy, with what it started last'),
  route('enablePolicy', 'post /v1/workflow-policies/:name/enable', 'workflow', 'operator', 'Let a policy fire, from the answer on'),
  route(
    'disablePolicy',
    'post /v1/workflow-policies/:name/disable',
    'workflow',
    'operator',
    'Let a policy fire no more, from the answer on',
  ),
  route('removePolicy', 'delete /v1/workflow-policies/:name', 'workflow', 'operator', 'Remove a policy; its history stays'),
  route(
    'tryPolicy',
    'post /v1/workflow-policies/:name/test',
    'workflow',
    'viewer',
    'Would a policy fire for this event, or at this moment, and with what? Nothing is started',
  ),
  route(
    'changeWorkflow',
    'post /v1/workflows/:id/changes',
    'workflow',
    'operator',
    'Change a workflow while it runs, or repair one that stopped; `If-Match` guards against what happened meanwhile',
  ),
  route('undoWorkflow', 'post /v1/workflows/:id/undo', 'workflow', 'operator', 'Undo the tasks of a workflow that has succeeded'),
  route(
    'startWorkflow',
    'post /v1/workflows',
    'workflow',
    'operator',
    'Start a workflow of a template: answers with an operation, and whether it waits in the queue',
  ),
  route(
    'publishWorkflowTemplate',
    'post /v1/workflow-templates',
    'workflow',
    'admin',
    'Publish a version of a workflow template; the same again is the same version',
  ),
  route(
    'validateWorkflowTemplate',
    'post /v1/workflow-templates/validate',
    'workflow',
    'viewer',
    'What publishing a workflow template would find wrong; nothing is kept',
  ),
  route(
    'retireWorkflowTemplate',
    'delete /v1/workflow-templates/:name',
    'workflow',
    'admin',
    'Retire a workflow template: no new starts; what runs goes on',
  ),
  route('setWorkflowLimits', 'put /v1/workflow-limits', 'workflow', 'admin', 'Set how many workflows may run'),
  route('trustKey', 'post /v1/tenant-keys', 'agent-gateway', 'admin', "Trust a tenant administrator's public key"),
  route('registerGrant', 'post /v1/grants', 'agent-gateway', 'operator', 'Register a signed grant'),
  route('revokeGrant', 'delete /v1/grants/:id', 'agent-gateway', 'operator', 'Revoke a grant'),
  ...kinds.flatMap((k) => k.routes.map((r) => route(r.name, r.verb, 'provisioning', 'operator', r.command.summary))),
];

@Controller()
export class CommandsController {
  constructor(@Inject(Owners) readonly owners: Owners) {}
}

const verbs = { get: Get, post: Post, put: Put, patch: Patch, delete: Delete };
for (const { name, method, path, owner, role, summary } of passed) {
  const prototype = CommandsController.prototype as unknown as Record<
    string,
    (this: CommandsController, request: ApiRequest) => Promise<Answer>
  >;
  prototype[name] = function (request) {
    return this.owners.pass(owner, request);
  };
  const descriptor = Object.getOwnPropertyDescriptor(prototype, name)!;
  for (const decorate of [verbs[method](path), Allow(role), Doc(passedDoc(summary))]) decorate(prototype, name, descriptor);
  Req()(prototype, name, 0);
}
