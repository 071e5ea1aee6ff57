import { Controller, Delete, Inject, Param, Patch, Post, Req } from '@nestjs/common';
import { pendingOf, provisioningCommands, VmAction, vmActionCommands, vmActionShape } from '@chrysalis/contracts';
import { deleteVm as deletionOf, type KnownVm, type Reconfigure, type SetRestartPolicy } from '@chrysalis/provisioning-core';
import {
  accepted,
  Allow,
  AsMessage,
  Commands,
  Doc,
  dryRunQuery,
  isDryRun,
  ifMatch,
  ofTenant,
  parse,
  ProblemError,
  reachOf,
  SERVICE,
  type Answer,
  type CommandContext,
  type CommandRequest,
  type ServiceContext,
} from '@chrysalis/service-kit';
import { acting } from '../acting.ts';
import { createVm as create } from '../create-vm.ts';
import { IMAGE_FILES, type Depot } from './image-files.controller.ts';
import { keepSeed } from '../seed/keep.ts';
import { decideVm } from '../decide-vm.ts';
import { sightingOf } from '../restart/sql.ts';
import { vmOf } from '../sql/vms.ts';
import { volumesOfVm } from '../volumes/sql.ts';
import type { VmView } from '../vm-view.ts';

const { createVm, changeVm, deleteVm } = provisioningCommands;

@Controller()
export class VmsController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Commands) private readonly commands: Commands,
    @Inject(IMAGE_FILES) private readonly depot: Depot,
  ) {}

  @Post('/v1/vms')
  @Allow('operator')
  @AsMessage(createVm)
  @Doc({
    summary: createVm.summary,
    body: createVm.body,
    query: dryRunQuery,
    answers: {
      202: createVm.answer,
      409: '`vm.on_no_network`',
      422: '`request.invalid`, `vm-type.unknown`, `image.unknown`, `image.too_large`, `image.no_room`, `seed.invalid`',
    },
  })
  create(@Req() request: CommandRequest): Promise<Answer> {
    const keep = keepSeed(this.depot?.files, isDryRun(request));
    return this.commands.run(request, createVm.body, async (body, ctx) => accepted(await create(body, ctx, keep)));
  }

  @Patch('/v1/vms/:id')
  @Allow('operator')
  @AsMessage(changeVm)
  @Doc({
    summary: changeVm.summary,
    body: changeVm.body,
    query: dryRunQuery,
    answers: {
      200: changeVm.answer,
      404: '`vm.unknown`',
      409: '`vm.version_outdated`, `vm.not_ready`, `vm.boots_kernel`',
      422: '`request.invalid`, `vm.labels_full`, `vm.boot_device_unknown`, `vm.boot_device_unfit`',
    },
  })
  change(@Req() request: CommandRequest, @Param('id') id: string): Promise<Answer> {
    return this.commands.run(request, changeVm.body, async ({ restart: policy, name, labels, bootOrder }, ctx) => {
      const { tenant } = await this.#present(ctx, id);
      const reconfigure: Reconfigure = {
        type: 'reconfigure',
        vmId: id,
        ...(name ? { name } : {}),
        ...(labels ? { labels } : {}),
        ...(bootOrder ? { bootOrder } : {}),
      };
      // Also where it changes nothing: what stands of the VM, at the version that the caller may have named.
      let vm = await this.#changed(ctx, tenant, reconfigure, ifMatch(request));
      if (policy) vm = await this.#changed(ctx, tenant, { type: 'set-restart-policy', vmId: id, policy });
      const pending = pendingOf(vm, vm.status === 'stopped');
      const order = { ...(vm.bootOrder ? { bootOrder: vm.bootOrder } : {}), ...(pending.length > 0 ? { pending } : {}) };
      return {
        status: 200,
        body: { vmId: id, name: vm.name, labels: vm.labels, restart: vm.restart.policy, ...order, version: vm.version },
      };
    });
  }

  @Delete('/v1/vms/:id')
  @Allow('operator')
  @AsMessage(deleteVm)
  @Doc({
    summary: deleteVm.summary,
    body: deleteVm.body,
    query: dryRunQuery,
    answers: {
      202: deleteVm.answer,
      404: '`vm.unknown`',
      409: '`vm.in_move`, `vm.not_ready`',
    },
  })
  remove(@Req() request: CommandRequest, @Param('id') id: string): Promise<Answer> {
    return this.commands.run(request, deleteVm.body, async ({ volumes }, ctx) => {
      const vm = await this.#present(ctx, id);
      const operation = ctx.newId('op');
      const decided = await decideVm(
        ofTenant(ctx, vm.tenant),
        id,
        { type: 'request-deletion', vmId: id, request: deletion(vm, operation), ...(volumes === 'delete' ? { volumes } : {}) },
        ifMatch(request),
      );
      if (!decided.ok) throw ProblemError.of(decided.rejection);
      const going = volumes === 'delete' ? await volumesOfVm(ctx.tx, this.service.schema, id) : [];
      const named = going.map(({ volumeId, name, sizeMiB }) => ({ volumeId, name, sizeMiB }));
      return accepted({ vmId: id, operation: decided.vm.deletion!.workflowId, ...(volumes === 'delete' ? { volumes: named } : {}) });
    });
  }

  @Post('/v1/vms/:id/:action')
  @Allow('operator')
  @AsMessage(...vmActionCommands)
  @Doc({
    summary: 'Start, stop, reboot, reset, pause or resume a VM; what is so already is answered at once, without an operation',
    body: vmActionShape.body,
    query: dryRunQuery,
    answers: {
      202: vmActionShape.answer,
      404: '`vm.unknown`',
      409: '`vm.in_move`, `vm.in_action`, `vm.action_not_possible`, `vm.not_ready`',
    },
  })
  act(@Req() request: CommandRequest, @Param('id') id: string, @Param('action') name: string): Promise<Answer> {
    const action = parse(VmAction, name);
    return this.commands.run(request, vmActionShape.body, async (options, ctx) => {
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

  async #changed(ctx: CommandContext, tenant: string, command: Reconfigure | SetRestartPolicy, ifVersion?: number): Promise<KnownVm> {
    const decided = await decideVm(ofTenant(ctx, tenant), command.vmId, command, ifVersion);
    if (!decided.ok) throw ProblemError.of(decided.rejection);
    return decided.vm;
  }

  async #present(ctx: CommandContext, id: string): Promise<VmView> {
    const vm = await vmOf(ctx.tx, this.service.schema, reachOf(ctx.caller), id);
    if (!vm || vm.status === 'deleted') throw ProblemError.of({ code: 'vm.unknown', vmId: id });
    return vm;
  }
}

const deletion = ({ id: vmId, host, epoch }: VmView, workflowId: string) => ({
  workflowId,
  definition: deletionOf({ onHost: host !== undefined }),
  params: { vmId, ...(host === undefined ? {} : { hostId: host, epoch }) },
  subject: vmId,
});
