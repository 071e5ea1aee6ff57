import { Controller, Delete, HttpCode, Inject, Param, Post, Req } from '@nestjs/common';
import { FLEET_TENANT, networkCommands } from '@chrysalis/contracts';
import {
  Allow,
  AsMessage,
  Commands,
  Doc,
  dryRunQuery,
  ifMatch,
  ofTenant,
  ProblemError,
  reachOf,
  SERVICE,
  type Answer,
  type CommandRequest,
  type ServiceContext,
} from '@chrysalis/service-kit';
import { decideNetwork } from './decide-network.ts';
import { failedOn, networkOf, overlapping, takeVni } from './sql.ts';

const { createNetwork, deleteNetwork } = networkCommands;

@Controller()
export class NetworksController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Commands) private readonly commands: Commands,
  ) {}

  @Post('/v1/networks')
  @Allow('operator')
  @AsMessage(createNetwork)
  @Doc({
    summary: createNetwork.summary,
    body: createNetwork.body,
    query: dryRunQuery,
    answers: {
      201: createNetwork.answer,
      409: '`network.subnet_overlaps`, `network.vnis_exhausted`',
      422: '`network.subnet_unusable`, `network.tenant_invalid`',
    },
  })
  create(@Req() request: CommandRequest): Promise<Answer> {
    return this.commands.run(request, createNetwork.body, async ({ name, subnet, mtu }, ctx) => {
      const { tenant } = ctx.caller;
      if (tenant === FLEET_TENANT)
        throw ProblemError.of({
          code: 'network.tenant_invalid',
          message: 'a network is a tenant’s, and the caller is of none: ask with a token of the tenant',
        });
      const { schema } = this.service;
      const other = await overlapping(ctx.tx, schema, tenant, subnet);
      const vni = await takeVni(ctx.tx, schema);
      if (vni === undefined) throw ProblemError.of({ code: 'network.vnis_exhausted' });
      const networkId = ctx.newId('network');
      const network = { networkId, name, tenant, subnet, vni, mtu };
      const decided = await decideNetwork(ctx, networkId, { type: 'create', network, other });
      if (!decided.ok) throw ProblemError.of(decided.rejection);
      return { status: 201, body: { networkId }, headers: { location: `/v1/networks/${networkId}` } };
    });
  }

  @Delete('/v1/networks/:id')
  @HttpCode(200)
  @Allow('operator')
  @AsMessage(deleteNetwork)
  @Doc({
    summary: deleteNetwork.summary,
    query: dryRunQuery,
    answers: { 200: deleteNetwork.answer, 404: '`network.unknown`', 409: '`network.in_use`' },
  })
  remove(@Req() request: CommandRequest, @Param('id') id: string): Promise<Answer> {
    return this.commands.run(request, deleteNetwork.body, async (_, ctx) => {
      const network = await networkOf(ctx.tx, this.service.schema, reachOf(ctx.caller), id);
      if (!network || network.status === 'deleted') throw ProblemError.of({ code: 'network.unknown', networkId: id });
      const decided = await decideNetwork(ofTenant(ctx, network.tenant), id, { type: 'delete', networkId: id }, ifMatch(request));
      if (!decided.ok && decided.rejection.code === 'network.in_use') {
        const failed = await failedOn(ctx.tx, this.service.schema, id);
        throw ProblemError.of({ ...decided.rejection, message: inUse(decided.rejection, failed) });
      }
      if (!decided.ok) throw ProblemError.of(decided.rejection);
      return { status: 200, body: { networkId: id, state: decided.network.status } };
    });
  }
}

/** One that failed at its creation has its address until it is deleted, and is easily overlooked. */
const inUse = ({ vms, reserved }: { readonly vms: number; readonly reserved: number }, failed: readonly string[]): string =>
  [
    ...(vms === 0 ? [] : [vms === 1 ? 'a VM is on the network' : `${vms} VMs are on the network`]),
    ...(failed.length > 0 ? [`failed, and keeping an address until it is deleted: ${failed.join(', ')}`] : []),
    ...(reserved === 0 ? [] : [reserved === 1 ? 'an address of it is reserved' : `${reserved} addresses of it are reserved`]),
  ].join('; ');
