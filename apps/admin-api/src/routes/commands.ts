import { Controller, Delete, Get, Inject, Post, Put, Req } from '@nestjs/common';
import type { Context } from '@chrysalis/contracts';
import { Allow, Doc, type Answer, type ApiRequest, type Needed } from '@chrysalis/service-kit';
import { Owners } from '../owners.ts';

export type Passed = {
  readonly name: string;
  readonly method: 'get' | 'post' | 'put' | 'delete';
  readonly path: string;
  readonly owner: Context;
  readonly role: Needed;
  readonly summary: string;
  readonly status: number;
};
/** `verb` is `post /path 202`: method, path and the status of a success. */
const route = (name: string, verb: string, owner: Context, role: Needed, summary: string): Passed => {
  const [method, path, status] = verb.split(' ') as [Passed['method'], string, string];
  return { name, method, path, owner, role, summary, status: Number(status) };
};

/** Commands are decided by their owners, and what has no read model is read there; what they take and answer is in the owner's part of the OpenAPI document. */
export const passed: readonly Passed[] = [
  route(
    'publishType',
    'post /v1/vm-types 201',
    'provisioning',
    'operator',
    'Publish a version of a VM type; the same again is the same version',
  ),
  route(
    'deprecateType',
    'post /v1/vm-types/:name/:version/deprecate 200',
    'provisioning',
    'operator',
    'A version of a VM type takes no new VMs any more',
  ),
  route('registerImage', 'post /v1/images 201', 'provisioning', 'operator', 'Register a version of an image'),
  route('createVm', 'post /v1/vms 202', 'provisioning', 'operator', 'Create a VM: answers with an operation to wait for'),
  route('deleteVm', 'delete /v1/vms/:id 202', 'provisioning', 'operator', 'Delete a VM and its volumes: answers with an operation'),
  route('setHostState', 'post /v1/hosts/:id/state 200', 'resource-allocation', 'operator', 'Enable, cordon, drain or retire a host'),
  route(
    'releaseAgent',
    'post /v1/hosts/:id/release-agent 200',
    'agent-gateway',
    'admin',
    'Take a host that was replaced from its agent, for good: the next agent that comes has it',
  ),
  route(
    'tryPlacement',
    'post /v1/placements 200',
    'resource-allocation',
    'viewer',
    'Where could this go? Nothing is held; a reason for each refused host',
  ),
  route(
    'queryOptions',
    'post /v1/migration-options-queries 202',
    'migration-templates',
    'operator',
    'To which types, with which options, can these VMs go?',
  ),
  route(
    'establishTemplate',
    'post /v1/migration-templates 201',
    'migration-templates',
    'operator',
    'Publish a version of a migration template',
  ),
  route(
    'retireTemplate',
    'delete /v1/migration-templates/:name 200',
    'migration-templates',
    'operator',
    'Retire a template: it takes no new migrations',
  ),
  route(
    'makePlan',
    'post /v1/migration-plans 201',
    'migration-templates',
    'operator',
    'Work a migration out in full, with every blocker; nothing is touched',
  ),
  route('startMigration', 'post /v1/migrations 202', 'migration-templates', 'operator', 'Run a plan: answers with an operation'),
  route('cancelMigration', 'post /v1/migrations/:id/cancel 202', 'migration-templates', 'operator', 'Cancel a migration'),
  route(
    'cancelWorkflow',
    'post /v1/workflows/:id/cancel 202',
    'workflow',
    'operator',
    'Cancel a workflow: finished tasks are undone where they can be',
  ),
  route(
    'establishPolicy',
    'post /v1/workflow-policies 201',
    'workflow',
    'operator',
    'Write down a policy: a schedule or an event that starts a workflow',
  ),
  route('listPolicies', 'get /v1/workflow-policies 200', 'workflow', 'viewer', 'The workflow policies by name'),
  route('getPolicy', 'get /v1/workflow-policies/:name 200', 'workflow', 'viewer', 'A workflow policy, with what it started last'),
  route('enablePolicy', 'post /v1/workflow-policies/:name/enable 200', 'workflow', 'operator', 'Let a policy fire, from the answer on'),
  route(
    'disablePolicy',
    'post /v1/workflow-policies/:name/disable 200',
    'workflow',
    'operator',
    'Let a policy fire no more, from the answer on',
  ),
  route('removePolicy', 'delete /v1/workflow-policies/:name 200', 'workflow', 'operator', 'Remove a policy; its history stays'),
  route(
    'tryPolicy',
    'post /v1/workflow-policies/:name/test 200',
    'workflow',
    'viewer',
    'Would a policy fire for this event, or at this moment, and with what? Nothing is started',
  ),
  route(
    'changeWorkflow',
    'post /v1/workflows/:id/changes 200',
    'workflow',
    'operator',
    'Change a workflow while it runs, or repair one that stopped; `If-Match` guards against what happened meanwhile',
  ),
  route('undoWorkflow', 'post /v1/workflows/:id/undo 202', 'workflow', 'operator', 'Undo the tasks of a workflow that has succeeded'),
  route(
    'startWorkflow',
    'post /v1/workflows 202',
    'workflow',
    'operator',
    'Start a workflow of a template: answers with an operation, and whether it waits in the queue',
  ),
  route(
    'publishWorkflowTemplate',
    'post /v1/workflow-templates 201',
    'workflow',
    'admin',
    'Publish a version of a workflow template; the same again is the same version',
  ),
  route(
    'validateWorkflowTemplate',
    'post /v1/workflow-templates/validate 200',
    'workflow',
    'viewer',
    'What publishing a workflow template would find wrong; nothing is kept',
  ),
  route(
    'retireWorkflowTemplate',
    'delete /v1/workflow-templates/:name 200',
    'workflow',
    'admin',
    'Retire a workflow template: no new starts; what runs goes on',
  ),
  route('setWorkflowLimits', 'put /v1/workflow-limits 200', 'workflow', 'admin', 'Set how many workflows may run'),
  route('trustKey', 'post /v1/tenant-keys 201', 'agent-gateway', 'admin', "Trust a tenant administrator's public key"),
  route('registerGrant', 'post /v1/grants 201', 'agent-gateway', 'operator', 'Register a signed grant'),
  route('revokeGrant', 'delete /v1/grants/:id 200', 'agent-gateway', 'operator', 'Revoke a grant'),
];

@Controller()
export class CommandsController {
  constructor(@Inject(Owners) readonly owners: Owners) {}
}

const verbs = { get: Get, post: Post, put: Put, delete: Delete };
for (const { name, method, path, owner, role, summary, status } of passed) {
  const prototype = CommandsController.prototype as unknown as Record<
    string,
    (this: CommandsController, request: ApiRequest) => Promise<Answer>
  >;
  prototype[name] = function (request) {
    return this.owners.pass(owner, request);
  };
  const descriptor = Object.getOwnPropertyDescriptor(prototype, name)!;
  for (const decorate of [verbs[method](path), Allow(role), Doc({ summary, passedOn: true, answers: { [status]: summary } })])
    decorate(prototype, name, descriptor);
  Req()(prototype, name, 0);
}
