import { Controller, Delete, Inject, Param, Post, Req } from '@nestjs/common';
import { freePort, volumeCommands, type VmChange } from '@chrysalis/contracts';
import type { volumes } from '@chrysalis/provisioning-core';
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
import { vmOf } from '../sql/vms.ts';
import type { VmView } from '../vm-view.ts';
import { createVolume as createVolumeOf } from './create.ts';
import { decideVolume } from './decide-volume.ts';
import { lockVm } from '../lock-vm.ts';
import { attachment, deletion, detachment, growth } from './requests.ts';
import { volumeOf } from './sql.ts';

const { createVolume, attachVolume, detachVolume, growVolume, deleteVolume } = volumeCommands;

@Controller()
export class VolumesController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Commands) private readonly commands: Commands,
  ) {}

  @Post('/v1/volumes')
  @Allow('operator')
  @AsMessage(createVolume)
  @Doc({
    summary: createVolume.summary,
    body: createVolume.body,
    query: dryRunQuery,
    answers: {
      202: createVolume.answer,
      409: '`volume.attached`, `volume.in_action`, `volume.not_ready`, of what it is made of',
      422: '`volume.tenant_invalid`, `volume.size_missing`, `volume.source_larger`, `image.unknown`, `image.no_disk`, `volume.unknown`',
    },
  })
  create(@Req() request: CommandRequest): Promise<Answer> {
    return this.commands.run(request, createVolume.body, async (body, ctx) => accepted(shown(await createVolumeOf(body, ctx))));
  }

  @Post('/v1/volumes/:id/attach')
  @Allow('operator')
  @AsMessage(attachVolume)
  @Doc({
    summary: attachVolume.summary,
    body: attachVolume.body,
    query: dryRunQuery,
    answers: {
      202: attachVolume.answer,
      404: '`volume.unknown`',
      409: '`volume.attached`, `volume.in_action`, `volume.not_ready`, `volume.not_on_host`, `volume.no_port`, `vm.in_move`, `vm.in_action`, `vm.not_ready`',
      422: '`vm.unknown`',
    },
  })
  attach(@Req() request: CommandRequest, @Param('id') id: string): Promise<Answer> {
    return this.commands.run(request, attachVolume.body, async ({ vm: vmId }, ctx) => {
      const volume = await this.#present(ctx, id);
      const vm = await vmOf(ctx.tx, this.service.schema, volume.tenant, vmId);
      if (!vm || vm.status === 'deleted') throw ProblemError.ofMember({ code: 'vm.unknown', vmId });
      // What its host would find a moment later: a volume that it has by then, or is to have, finds none of its ports missing.
      const has = volume.vmId === vmId || volume.action?.vmId === vmId;
      if (!has && vm.topology && freePort(vm.topology) === undefined) throw ProblemError.of({ code: 'volume.no_port', vmId });
      const asked = attachment(volume, vm, ctx.newId('op'));
      return this.#begun(ofTenant(ctx, volume.tenant), volume, 'attach-volume', ifMatch(request), {
        type: 'request-attach',
        volumeId: id,
        vmId,
        vmHost: vm.host ?? '',
        request: asked,
      });
    });
  }

  @Post('/v1/volumes/:id/detach')
  @Allow('operator')
  @AsMessage(detachVolume)
  @Doc({
    summary: detachVolume.summary,
    body: detachVolume.body,
    query: dryRunQuery,
    answers: {
      202: detachVolume.answer,
      404: '`volume.unknown`',
      409: '`volume.in_action`, `volume.not_ready`, `vm.in_move`, `vm.in_action`',
    },
  })
  detach(@Req() request: CommandRequest, @Param('id') id: string): Promise<Answer> {
    return this.commands.run(request, detachVolume.body, async ({ force = false }, ctx) => {
      const volume = await this.#present(ctx, id);
      const vm = await this.#vmOf(ctx, volume);
      const asked = detachment(volume, vm ?? nobody, ctx.newId('op'), force);
      const command = { type: 'request-detach' as const, volumeId: id, force, request: asked };
      return this.#begun(ofTenant(ctx, volume.tenant), volume, 'detach-volume', ifMatch(request), command);
    });
  }

  @Post('/v1/volumes/:id/grow')
  @Allow('operator')
  @AsMessage(growVolume)
  @Doc({
    summary: growVolume.summary,
    body: growVolume.body,
    query: dryRunQuery,
    answers: {
      202: growVolume.answer,
      404: '`volume.unknown`',
      409: '`volume.shrink_refused`, `volume.in_action`, `volume.not_ready`, `vm.in_move`, `vm.in_action`',
    },
  })
  grow(@Req() request: CommandRequest, @Param('id') id: string): Promise<Answer> {
    return this.commands.run(request, growVolume.body, async ({ sizeMiB }, ctx) => {
      const volume = await this.#present(ctx, id);
      const asked = growth(volume, await this.#vmOf(ctx, volume), ctx.newId('op'), sizeMiB);
      const command = { type: 'request-grow' as const, volumeId: id, sizeMiB, request: asked };
      return this.#begun(ofTenant(ctx, volume.tenant), volume, 'grow-volume', ifMatch(request), command);
    });
  }

  @Delete('/v1/volumes/:id')
  @Allow('operator')
  @AsMessage(deleteVolume)
  @Doc({
    summary: deleteVolume.summary,
    query: dryRunQuery,
    answers: { 202: deleteVolume.answer, 404: '`volume.unknown`', 409: '`volume.not_ready`' },
  })
  remove(@Req() request: CommandRequest, @Param('id') id: string): Promise<Answer> {
    return this.commands.run(request, deleteVolume.body, async (_, ctx) => {
      const volume = await this.#present(ctx, id);
      const asked = { type: 'request-deletion' as const, volumeId: id, request: deletion(volume, ctx.newId('op')) };
      const decided = await decideVolume(ofTenant(ctx, volume.tenant), id, asked, ifMatch(request) ?? volume.version);
      if (!decided.ok) throw refusal(ifMatch(request), decided.rejection);
      return accepted(shown(decided.volume));
    });
  }

  /**
   * Volume and VM in one transaction: where the VM has other things to do, neither says anything. `version`: what is asked of hosts was made
   * from the volume as it was then.
   */
  async #begun(
    ctx: MessageContext,
    { volumeId, version }: volumes.KnownVolume,
    change: VmChange,
    named: number | undefined,
    command: volumes.VolumeCommand,
  ): Promise<{ status: number; body: object; headers?: Record<string, string> }> {
    const decided = await decideVolume(ctx, volumeId, command, named ?? version);
    if (!decided.ok) throw refusal(named, decided.rejection);
    const { status: state, action, vmId = action?.vmId } = decided.volume;
    if (!action) return { status: 202, body: { volumeId, state } };
    const { workflowId } = action;
    if (decided.events.length > 0 && vmId !== undefined) {
      const locked = await lockVm(ctx, { vmId, change, volumeId, workflowId });
      if (!locked.ok) throw ProblemError.of(locked.rejection);
    }
    return accepted({ volumeId, state, operation: workflowId });
  }

  /** The VM that has it. */
  #vmOf(ctx: CommandContext, { vmId, tenant }: volumes.KnownVolume): Promise<VmView | undefined> {
    return vmId === undefined ? Promise.resolve(undefined) : vmOf(ctx.tx, this.service.schema, tenant, vmId);
  }

  async #present(ctx: CommandContext, id: string): Promise<volumes.KnownVolume> {
    const volume = await volumeOf(ctx.tx, this.service.schema, reachOf(ctx.caller), id);
    if (!volume || volume.status === 'deleted') throw ProblemError.of({ code: 'volume.unknown', volumeId: id });
    return volume;
  }
}

const shown = ({ volumeId, operation }: volumes.KnownVolume) => ({ operation, volumeId });

/** Of a volume that no VM has nothing is detached, and the stream says so. */
const nobody = { id: '', epoch: 0 } as VmView;
