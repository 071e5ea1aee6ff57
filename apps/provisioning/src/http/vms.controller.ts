import { Controller, Delete, Get, Inject, Param, Post, Query, Req } from '@nestjs/common';
import {
  Cause,
  Count,
  Desired,
  Id,
  Name,
  Nic,
  Observed,
  RefText,
  Sha256,
  Topology,
  Uuid,
  VmAction,
  VmTypeSpec,
  views,
} from '@chrysalis/contracts';
import { deleteVm } from '@chrysalis/provisioning-core';
import {
  Allow,
  Answer,
  Commands,
  Doc,
  dryRunQuery,
  etag,
  ifMatch,
  nextOf,
  ofTenant,
  Page,
  pageQuery,
  parse,
  ProblemError,
  reachOf,
  SERVICE,
  type ApiRequest,
  type CommandContext,
  type ServiceContext,
} from '@chrysalis/service-kit';
import { z } from 'zod';
import { CreateVm, createVm, type CreatedVm } from '../create-vm.ts';
import { decideVm } from '../decide-vm.ts';
import { vmOf, vmsAfter } from '../sql/vms.ts';
import type { VmView } from '../vm-view.ts';

const Accepted = z.object({ operation: Id, vmId: Id });
const Shown = z.object({
  id: Id,
  name: Name,
  tenant: z.string(),
  status: z.string(),
  /** Absent in what was written down before it was kept: running. */
  desired: Desired.optional(),
  version: Count,
  type: RefText,
  spec: VmTypeSpec,
  image: RefText,
  uuid: Uuid,
  epoch: Count,
  nics: z.array(Nic.omit({ port: true })),
  host: Name.optional(),
  topology: Topology.optional(),
  topologyHash: Sha256.optional(),
  bootedAt: z.string().optional(),
  move: z.record(z.string(), z.unknown()).optional(),
  action: z.object({ action: VmAction, operation: Id }).optional(),
  cause: Cause.optional(),
  observed: Observed.optional(),
  operation: Id,
});
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

  async #present(ctx: CommandContext, id: string): Promise<VmView> {
    const vm = await vmOf(ctx.tx, this.service.schema, reachOf(ctx.caller), id);
    if (!vm || vm.status === 'deleted') throw ProblemError.of({ code: 'vm.unknown', vmId: id });
    return vm;
  }

  @Get('/v1/vms')
  @Allow('viewer')
  @Doc({
    summary: "The tenant's VMs, oldest first",
    query: pageQuery,
    answers: { 200: views.pageOf(Shown) },
  })
  async list(@Req() { caller }: ApiRequest, @Query() query: unknown): Promise<object> {
    const { limit, cursor } = parse(Page, query);
    const items = await vmsAfter(this.service.pool, this.service.schema, { tenant: reachOf(caller), after: cursor, limit });
    return { items, ...nextOf(items, limit, (vm) => vm.id) };
  }

  @Get('/v1/vms/:id')
  @Allow('viewer')
  @Doc({ summary: "One VM; the ETag is its stream's version", answers: { 200: Shown, 404: '`vm.unknown`' } })
  async one(@Req() { caller }: ApiRequest, @Param('id') id: string): Promise<Answer> {
    const vm = await vmOf(this.service.pool, this.service.schema, reachOf(caller), id);
    if (!vm) throw ProblemError.of({ code: 'vm.unknown', vmId: id });
    return new Answer(200, vm, etag(vm.version));
  }
}

const accepted = (body: CreatedVm) => ({ status: 202, body, headers: { location: `/v1/operations/${body.operation}` } });

const deletion = ({ id: vmId, host, epoch }: VmView, workflowId: string) => ({
  workflowId,
  definition: deleteVm({ onHost: host !== undefined }),
  params: { vmId, ...(host === undefined ? {} : { hostId: host, epoch }) },
  subject: vmId,
});
