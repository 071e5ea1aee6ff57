import { Controller, Delete, Inject, Param, Patch, Post, Req } from '@nestjs/common';
import { Id, RestartPolicy, VmAction, VmActionOptions } from '@chrysalis/contracts';
import { deleteVm } from '@chrysalis/provisioning-core';
import {
  Allow,
  Commands,
  Doc,
  dryRunQuery,
  ifMatch,
  ofTenant,
  parse,
  ProblemError,
  reachOf,
  SERVICE,
  type Answer,
  type ApiRequest,
  type CommandContext,
  type ServiceContext,
} from '@chrysalis/service-kit';
import { z } from 'zod';
import { acting } from '../acting.ts';
import { CreateVm, createVm, type CreatedVm } from '../create-vm.ts';
import { decideVm } from '../decide-vm.ts';
import { sightingOf } from '../restart/sql.ts';
import { vmOf } from '../sql/vms.ts';
import type { VmView } from '../vm-view.ts';

const Accepted = z.object({ operation: Id, vmId: Id });
/** Without an operation it is so already. */
const Acted = z.object({ vmId: Id, status: z.string(), operation: Id.optional() });
const PatchVm = z.strictObject({ restart: RestartPolicy });
const Patched = z.object({ vmId: Id, restart: RestartPolicy, version: z.int() });
const Created = Accepted.extend({
  warnings: z
    .array(z.object({ place: z.string(), message: z.string() }))
    .optional()
    .describe('What is no fault, and yet perhaps not meant: another VM of this name'),
});

@Controller()
export class VmsController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Commands) private readonly commands: Commands,
  ) {}

  @Post('/v1/vms')
  @Allow('operator')
  @Doc({
    summary: 'Ask for a VM',
    body: CreateVm,
    query: dryRunQuery,
    answers: {
      202: Created,
      422: '`request.invalid`, `vm-type.unknown`, `image.unknown`',
    },
  })
  create(@Req() request: ApiRequest): Promise<Answer> {
    return this.commands.run(request, CreateVm, async (body, ctx) => accepted(await createVm(body, ctx)));
  }

  @Patch('/v1/vms/:id')
  @Allow('operator')
  @Doc({
    summary: 'Change what is done where a VM goes off though it is meant to run',
    body: PatchVm,
    query: dryRunQuery,
    answers: { 200: Patched, 404: '`vm.unknown`', 409: '`vm.version_outdated`' },
  })
  change(@Req() request: ApiRequest, @Param('id') id: string): Promise<Answer> {
    return this.commands.run(request, PatchVm, async ({ restart: policy }, ctx) => {
      const { tenant } = await this.#present(ctx, id);
      const decided = await decideVm(ofTenant(ctx, tenant), id, { type: 'set-restart-policy', vmId: id, policy }, ifMatch(request));
      if (!decided.ok) throw ProblemError.of(decided.rejection);
      return { status: 200, body: { vmId: id, restart: decided.vm.restart.policy, version: decided.vm.version } };
    });
  }

  @Delete('/v1/vms/:id')
  @Allow('operator')
  @Doc({
    summary: 'Ask to delete a VM',
    query: dryRunQuery,
    answers: {
      202: Accepted,
      404: '`vm.unknown`',
      409: '`vm.in_move`, `vm.not_ready`',
    },
  })
  remove(@Req() request: ApiRequest, @Param('id') id: string): Promise<Answer> {
    return this.commands.run(request, z.strictObject({}), async (_, ctx) => {
      const vm = await this.#present(ctx, id);
      const operation = ctx.newId('op');
      const decided = await decideVm(
        ofTenant(ctx, vm.tenant),
        id,
        { type: 'request-deletion', vmId: id, request: deletion(vm, operation) },
        ifMatch(request),
      );
      if (!decided.ok) throw ProblemError.of(decided.rejection);
      return accepted({ vmId: id, operation: decided.vm.deletion!.workflowId });
    });
  }

  @Post('/v1/vms/:id/:action')
  @Allow('operator')
  @Doc({
    summary: 'Start, stop, reboot, reset, pause or resume a VM; what is so already is answered at once, without an operation',
    body: VmActionOptions,
    query: dryRunQuery,
    answers: {
      202: Acted,
      404: '`vm.unknown`',
      409: '`vm.in_move`, `vm.in_action`, `vm.action_not_possible`, `vm.not_ready`',
    },
  })
  act(@Req() request: ApiRequest, @Param('id') id: string, @Param('action') name: string): Promise<Answer> {
    const action = parse(VmAction, name);
    return this.commands.run(request, z.strictObject(VmActionOptions.shape), async (options, ctx) => {
      const vm = await this.#present(ctx, id);
      const decided = await decideVm(
        ofTenant(ctx, vm.tenant),
        id,
        {
          type: 'request-action',
          vmId: id,
          action,
          options,
          request: acting(vm, ctx.newId('op'), action, options),
          seen: await sightingOf(ctx.tx, this.service.schema, id),
        },
        ifMatch(request),
      );
      if (!decided.ok) throw ProblemError.of(decided.rejection);
      const operation = decided.vm.action?.workflowId;
      const body = { vmId: id, status: decided.vm.status };
      return operation ? accepted({ ...body, operation }) : { status: 202, body };
    });
  }

  async #present(ctx: CommandContext, id: string): Promise<VmView> {
    const vm = await vmOf(ctx.tx, this.service.schema, reachOf(ctx.caller), id);
    if (!vm || vm.status === 'deleted') throw ProblemError.of({ code: 'vm.unknown', vmId: id });
    return vm;
  }
}

const accepted = (body: CreatedVm & { readonly status?: string }) => ({
  status: 202,
  body,
  headers: { location: `/v1/operations/${body.operation}` },
});

const deletion = ({ id: vmId, host, epoch }: VmView, workflowId: string) => ({
  workflowId,
  definition: deleteVm({ onHost: host !== undefined }),
  params: { vmId, ...(host === undefined ? {} : { hostId: host, epoch }) },
  subject: vmId,
});
