import { Controller, Delete, HttpCode, Inject, Param, Post, Req } from '@nestjs/common';
import { addressCommands, addressed, MOST_FURTHER, type VmChange } from '@chrysalis/contracts';
import { addresses, networks } from '@chrysalis/provisioning-core';
import {
  accepted,
  Allow,
  AsMessage,
  Commands,
  Doc,
  dryRunQuery,
  ifMatch,
  ofTenant,
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
import { lockVm } from '../lock-vm.ts';
import { decideNetwork } from '../networks/decide-network.ts';
import { networkOf } from '../networks/sql.ts';
import { vmOf } from '../sql/vms.ts';
import type { VmView } from '../vm-view.ts';
import { decideAddress } from './decide-address.ts';
import { binding, unbinding } from './requests.ts';
import { reservedAddressOf } from './sql.ts';

const { reserveAddress, bindAddress, unbindAddress, releaseAddress } = addressCommands;
type Known = addresses.KnownAddress;
type Begun = { status: number; body: object; headers?: Record<string, string> };

@Controller()
export class AddressesController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Commands) private readonly commands: Commands,
  ) {}

  @Post('/v1/addresses')
  @Allow('operator')
  @AsMessage(reserveAddress)
  @Doc({
    summary: reserveAddress.summary,
    body: reserveAddress.body,
    query: dryRunQuery,
    answers: {
      201: reserveAddress.answer,
      409: '`network.address_taken`, `network.addresses_exhausted`',
      422: '`network.unknown`, `network.address_outside`, `network.address_reserved`',
    },
  })
  reserve(@Req() request: CommandRequest): Promise<Answer> {
    return this.commands.run(request, reserveAddress.body, async ({ network: networkId, address: wanted, name }, ctx) => {
      const network = await networkOf(ctx.tx, this.service.schema, reachOf(ctx.caller), networkId);
      if (!network || network.status === 'deleted') throw ProblemError.ofMember({ code: 'network.unknown', networkId });
      const { tenant } = network;
      const addressId = ctx.newId('address');
      const of = ofTenant(ctx, tenant);
      const kept = await decideNetwork(of, networkId, { type: 'reserve-address', networkId, addressId, address: wanted });
      if (!kept.ok) throw ProblemError.of(kept.rejection);
      const address = networks.reservedAs(kept.network, addressId)!;
      const reserved = { addressId, name: name ?? `ip-${address.replaceAll('.', '-')}`, tenant, networkId, address };
      const decided = await decideAddress(of, addressId, { type: 'reserve', addressId, reserved });
      if (!decided.ok) throw ProblemError.of(decided.rejection);
      return { status: 201, body: { addressId, address }, headers: { location: `/v1/addresses/${addressId}` } };
    });
  }

  @Post('/v1/addresses/:id/bind')
  @Allow('operator')
  @AsMessage(bindAddress)
  @Doc({
    summary: bindAddress.summary,
    body: bindAddress.body,
    query: dryRunQuery,
    answers: {
      202: bindAddress.answer,
      404: '`address.unknown`',
      409: '`address.bound`, `address.in_action`, `address.unsettled`, `address.not_on_network`, `address.vm_full`, `vm.in_move`, `vm.in_action`, `vm.not_ready`',
      422: '`vm.unknown`',
    },
  })
  bind(@Req() request: CommandRequest, @Param('id') id: string): Promise<Answer> {
    return this.commands.run(request, bindAddress.body, async ({ vm: vmId, move = false }, ctx) => {
      const address = await this.#present(ctx, id);
      const vm = await this.#vm(ctx, address, vmId);
      const from = addresses.takenFrom(address, vmId);
      const had = from === undefined ? undefined : await this.#vm(ctx, address, from);
      if (!address.action && address.vmId !== vmId) fits(address, vm);
      const asked = binding(address, vm, had, ctx.newId('op'));
      const command = { type: 'request-bind' as const, addressId: id, vmId, move, request: asked };
      return this.#begun(ofTenant(ctx, address.tenant), address, 'bind-address', ifMatch(request), command);
    });
  }

  @Post('/v1/addresses/:id/unbind')
  @Allow('operator')
  @AsMessage(unbindAddress)
  @Doc({
    summary: unbindAddress.summary,
    body: unbindAddress.body,
    query: dryRunQuery,
    answers: {
      202: unbindAddress.answer,
      404: '`address.unknown`',
      409: '`address.in_action`, `address.unsettled`, `vm.in_move`, `vm.in_action`, `vm.not_ready`',
    },
  })
  unbind(@Req() request: CommandRequest, @Param('id') id: string): Promise<Answer> {
    return this.commands.run(request, unbindAddress.body, async (_, ctx) => {
      const address = await this.#present(ctx, id);
      const vm = address.vmId === undefined ? nobody : await this.#vm(ctx, address, address.vmId);
      const command = { type: 'request-unbind' as const, addressId: id, request: unbinding(address, vm, ctx.newId('op')) };
      return this.#begun(ofTenant(ctx, address.tenant), address, 'unbind-address', ifMatch(request), command);
    });
  }

  @Delete('/v1/addresses/:id')
  @HttpCode(200)
  @Allow('operator')
  @AsMessage(releaseAddress)
  @Doc({
    summary: releaseAddress.summary,
    query: dryRunQuery,
    answers: { 200: releaseAddress.answer, 404: '`address.unknown`', 409: '`address.bound`, `address.in_action`' },
  })
  release(@Req() request: CommandRequest, @Param('id') id: string): Promise<Answer> {
    return this.commands.run(request, releaseAddress.body, async (_, ctx) => {
      const { tenant, networkId } = await this.#present(ctx, id);
      const of = ofTenant(ctx, tenant);
      const decided = await decideAddress(of, id, { type: 'release', addressId: id }, ifMatch(request));
      if (!decided.ok) throw ProblemError.of(decided.rejection);
      const given = await decideNetwork(of, networkId, { type: 'release-address', networkId, addressId: id });
      if (!given.ok) throw ProblemError.of(given.rejection);
      return { status: 200, body: { addressId: id, state: decided.address.status } };
    });
  }

  /**
   * Address and VMs in one transaction: where a VM has other things to do, none says anything. At the version that what is asked of hosts was
   * made from. VMs in one order always, so that two who want the same two do not wait for each other.
   */
  async #begun(
    ctx: MessageContext,
    before: Known,
    change: VmChange,
    version: number | undefined,
    command: addresses.AddressCommand,
  ): Promise<Begun> {
    const { addressId } = before;
    const decided = await decideAddress(ctx, addressId, command, version ?? before.version);
    if (!decided.ok) throw refusal(version, decided.rejection);
    const { status: state, action } = decided.address;
    if (!action) return { status: 202, body: { addressId, state } };
    const { workflowId, vmId, from } = action;
    if (decided.events.length > 0)
      for (const vm of [vmId, ...(from === undefined ? [] : [from])].sort()) {
        const locked = await lockVm(ctx, { vmId: vm, change, workflowId });
        if (!locked.ok) throw ProblemError.of(locked.rejection);
      }
    return accepted({ addressId, state, operation: workflowId });
  }

  async #vm(ctx: CommandContext, { tenant }: Known, vmId: string): Promise<VmView> {
    const vm = await vmOf(ctx.tx, this.service.schema, tenant, vmId);
    if (!vm || vm.status === 'deleted') throw ProblemError.ofMember({ code: 'vm.unknown', vmId });
    return vm;
  }

  async #present(ctx: CommandContext, id: string): Promise<Known> {
    const address = await reservedAddressOf(ctx.tx, this.service.schema, reachOf(ctx.caller), id);
    if (!address || address.status === 'deleted') throw ProblemError.of({ code: 'address.unknown', addressId: id });
    return address;
  }
}

/** What its host would find a moment later. One that is not made yet says so by itself. */
const fits = ({ addressId, networkId, address }: Known, vm: VmView): void => {
  const { id: vmId, topology } = vm;
  const of = { addressId, networkId, vmId };
  if (!(topology?.nics ?? vm.nics).some((n) => n.id === networkId && n.segment))
    throw ProblemError.of({ code: 'address.not_on_network', ...of });
  const nics = topology ? addressed(topology, networkId, address, true).nics : [];
  if (nics.some((n) => (n.segment?.further?.length ?? 0) > MOST_FURTHER)) throw ProblemError.of({ code: 'address.vm_full', ...of });
};

/** Of an address that no VM has nothing is unbound, and the stream says so. */
const nobody = { id: '', epoch: 0 } as VmView;
