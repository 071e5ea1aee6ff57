import { Controller, Delete, Inject, Param, Post, Req } from '@nestjs/common';
import { freePort, NetworkId, provisioningCommands, type FilterRule, type VmChange, type WorkflowDefinition } from '@chrysalis/contracts';
import { attachNic as attaching, detachNic as detaching } from '@chrysalis/provisioning-core';
import { canonicalJson } from '@chrysalis/kernel';
import {
  accepted,
  Allow,
  AsMessage,
  Commands,
  Doc,
  dryRunQuery,
  ifMatch,
  ofTenant,
  parse,
  ProblemError,
  reachOf,
  refusal,
  SERVICE,
  type Answer,
  type CommandContext,
  type CommandRequest,
  type MessageContext,
  type ServiceContext,
} from '@chrysalis/service-kit';
import { macFor } from '../create-vm.ts';
import { addressesOfVm } from '../addresses/sql.ts';
import { decideVm } from '../decide-vm.ts';
import { takeAddress } from '../networks/join.ts';
import { networkOf, networksOfVm } from '../networks/sql.ts';
import { macOfNic } from '../sql/addresses.ts';
import { vmOf } from '../sql/vms.ts';
import type { VmView } from '../vm-view.ts';

const { attachNic, detachNic } = provisioningCommands;

/** NICs of a VM that there is: its address on a network is taken, and given back, in the commit that says so of the VM. */
@Controller()
export class VmNicsController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Commands) private readonly commands: Commands,
  ) {}

  @Post('/v1/vms/:id/nics')
  @Allow('operator')
  @AsMessage(attachNic)
  @Doc({
    summary: attachNic.summary,
    body: attachNic.body,
    query: dryRunQuery,
    answers: {
      202: attachNic.answer,
      404: '`vm.unknown`',
      409: '`vm.filter_differs`, `vm.no_port`, `vm.in_move`, `vm.in_action`, `vm.not_ready`, `network.joined`, `network.address_taken`, `network.addresses_exhausted`',
      422: '`network.unknown`, `network.address_outside`, `network.address_reserved`',
    },
  })
  attach(@Req() request: CommandRequest, @Param('id') id: string): Promise<Answer> {
    return this.commands.run(request, attachNic.body, async ({ network, address, allow }, ctx) => {
      const vm = await this.#present(ctx, id);
      const as = ofTenant(ctx, vm.tenant);
      const nics = vm.topology?.nics ?? vm.nics;
      const segment = await takeAddress(as, { vmId: id, tenant: vm.tenant, network, address, allow: rulesFor(vm, allow) });
      const has = nics.some((n) => n.id === network);
      if (has && !vm.action) return { status: 202, body: { vmId: id, status: vm.status, address: segment.address } };
      if (!has) assertPort(vm);
      const of = { vm: id, id: network, index: nics.length };
      const mac = (await macOfNic(ctx.tx, this.service.schema, of)) ?? (await macFor(as, of));
      const params = { nic: { id: network, mac, network, segment } };
      const change = { change: 'attach-nic', networkId: network, definition: attaching, params } as const;
      const begun = await this.#begun(as, vm, change, ifMatch(request));
      return { ...begun, body: { ...begun.body, address: segment.address } };
    });
  }

  @Delete('/v1/vms/:id/nics/:network')
  @Allow('operator')
  @AsMessage(detachNic)
  @Doc({
    summary: detachNic.summary,
    query: dryRunQuery,
    answers: {
      202: detachNic.answer,
      404: '`vm.unknown`, `network.unknown`',
      409: '`address.bound`, `vm.in_move`, `vm.in_action`, `vm.not_ready`',
    },
  })
  detach(@Req() request: CommandRequest, @Param('id') id: string, @Param('network') named: string): Promise<Answer> {
    return this.commands.run(request, detachNic.body, async (_, ctx) => {
      const vm = await this.#present(ctx, id);
      const networkId = parse(NetworkId, named);
      if (!(await networkOf(ctx.tx, this.service.schema, vm.tenant, networkId)))
        throw ProblemError.of({ code: 'network.unknown', networkId });
      // One that could not be taken back after a failure is known by its address alone.
      const on = await networksOfVm(ctx.tx, this.service.schema, id);
      const has = on.some((n) => n.networkId === networkId);
      if (!has && !vm.action) return { status: 202, body: { vmId: id, status: vm.status } };
      const bound = (await addressesOfVm(ctx.tx, this.service.schema, id)).find((a) => a.networkId === networkId);
      if (bound) throw ProblemError.of({ code: 'address.bound', addressId: bound.addressId, vmId: id });
      return this.#begun(
        ofTenant(ctx, vm.tenant),
        vm,
        { change: 'detach-nic', networkId, definition: detaching, params: { networkId } },
        ifMatch(request),
      );
    });
  }

  /** `version`: what is asked of the host was made from the VM as it was then. */
  async #begun(
    ctx: MessageContext,
    vm: VmView,
    { change, networkId, definition, params }: { change: VmChange; networkId: string; definition: WorkflowDefinition; params: object },
    named: number | undefined,
  ) {
    const [vmId, workflowId] = [vm.id, ctx.newId('op')];
    const request = { workflowId, definition, params: { vmId, hostId: vm.host, epoch: vm.epoch, ...params }, subject: vmId };
    const decided = await decideVm(ctx, vmId, { type: 'begin-change', vmId, change, networkId, workflowId, request }, named ?? vm.version);
    if (!decided.ok) throw refusal(named, decided.rejection);
    return accepted({ vmId, status: decided.vm.status, operation: workflowId });
  }

  async #present(ctx: CommandContext, id: string): Promise<VmView> {
    const vm = await vmOf(ctx.tx, this.service.schema, reachOf(ctx.caller), id);
    if (!vm || vm.status === 'deleted') throw ProblemError.of({ code: 'vm.unknown', vmId: id });
    return vm;
  }
}

/** One list for all of its networks: those that it has, or what is said with its first one. */
const rulesFor = ({ id: vmId, topology }: VmView, asked: FilterRule[] | undefined): FilterRule[] => {
  const has = topology?.nics.find((n) => n.segment)?.segment?.allow;
  if (has && asked && canonicalJson(has) !== canonicalJson(asked)) throw ProblemError.of({ code: 'vm.filter_differs', vmId });
  return has ?? asked ?? [];
};

/** What its host would find a moment later. */
const assertPort = ({ id: vmId, topology }: VmView): void => {
  if (topology && freePort(topology) === undefined) throw ProblemError.of({ code: 'vm.no_port', vmId });
};
