import { Controller, Delete, Inject, Post, Req } from '@nestjs/common';
import type { Context } from '@chrysalis/contracts';
import { Allow, Doc, type Answer, type ApiRequest, type Role } from '@chrysalis/service-kit';
import { Owners } from '../owners.ts';

export type Passed = {
  readonly name: string;
  readonly method: 'post' | 'delete';
  readonly path: string;
  readonly owner: Context;
  readonly role: Role;
  readonly summary: string;
  readonly status: number;
};
const route = (name: string, verb: string, owner: Context, role: Role, status: number, summary: string): Passed => {
  const [method, path] = verb.split(' ') as ['post' | 'delete', string];
  return { name, method, path, owner, role, summary, status };
};

/** Commands are decided by their owners; what they take and answer is in the owner's part of the OpenAPI document. */
export const passed: readonly Passed[] = [
  route('publishType', 'post /v1/vm-types', 'provisioning', 'operator', 201, 'Publish a version of a VM type; the same again is the same version'),
  route('registerImage', 'post /v1/images', 'provisioning', 'operator', 201, 'Register a version of an image'),
  route('createVm', 'post /v1/vms', 'provisioning', 'operator', 202, 'Create a VM: answers with an operation to wait for'),
  route('deleteVm', 'delete /v1/vms/:id', 'provisioning', 'operator', 202, 'Delete a VM and its volumes: answers with an operation'),
  route('setHostState', 'post /v1/hosts/:id/state', 'resource-allocation', 'operator', 200, 'Enable, cordon or drain a host'),
  route('tryPlacement', 'post /v1/placements', 'resource-allocation', 'viewer', 200, 'Where could this go? Nothing is held; a reason for each refused host'),
  route('queryOptions', 'post /v1/migration-options-queries', 'migration-templates', 'operator', 202, 'To which types, with which options, can these VMs go?'),
  route('establishTemplate', 'post /v1/migration-templates', 'migration-templates', 'operator', 201, 'Publish a version of a migration template'),
  route('retireTemplate', 'delete /v1/migration-templates/:name', 'migration-templates', 'operator', 200, 'Retire a template: it takes no new migrations'),
  route('makePlan', 'post /v1/migration-plans', 'migration-templates', 'operator', 201, 'Work a migration out in full, with every blocker; nothing is touched'),
  route('startMigration', 'post /v1/migrations', 'migration-templates', 'operator', 202, 'Run a plan: answers with an operation'),
  route('cancelMigration', 'post /v1/migrations/:id/cancel', 'migration-templates', 'operator', 202, 'Cancel a migration'),
  route('cancelWorkflow', 'post /v1/workflows/:id/cancel', 'workflow', 'operator', 202, 'Cancel a workflow: finished tasks are undone where they can be'),
  route('trustKey', 'post /v1/tenant-keys', 'agent-gateway', 'admin', 201, "Trust a tenant administrator's public key"),
  route('registerGrant', 'post /v1/grants', 'agent-gateway', 'operator', 201, 'Register a signed grant'),
  route('revokeGrant', 'delete /v1/grants/:id', 'agent-gateway', 'operator', 200, 'Revoke a grant'),
];

@Controller()
export class CommandsController {
  constructor(@Inject(Owners) readonly owners: Owners) {}
}

const verbs = { post: Post, delete: Delete };
for (const { name, method, path, owner, role, summary, status } of passed) {
  const prototype = CommandsController.prototype as unknown as Record<string, (this: CommandsController, request: ApiRequest) => Promise<Answer>>;
  prototype[name] = function (request) {
    return this.owners.pass(owner, request);
  };
  const descriptor = Object.getOwnPropertyDescriptor(prototype, name)!;
  for (const decorate of [verbs[method](path), Allow(role), Doc({ summary, answers: { [status]: summary } })]) decorate(prototype, name, descriptor);
  Req()(prototype, name, 0);
}
