import { Controller, Delete, Inject, Param, Post, Req } from '@nestjs/common';
import { FLEET_TENANT, volumeCommands, volumeFile } from '@chrysalis/contracts';
import { volumes } from '@chrysalis/provisioning-core';
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
  type CommandContext,
  type CommandRequest,
  type ServiceContext,
} from '@chrysalis/service-kit';
import { decideVolume } from './decide-volume.ts';
import { volumeOf } from './sql.ts';

const { createVolume, deleteVolume } = volumeCommands;

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
    answers: { 202: createVolume.answer, 422: '`volume.tenant_invalid`' },
  })
  create(@Req() request: CommandRequest): Promise<Answer> {
    return this.commands.run(request, createVolume.body, async ({ host, ...body }, ctx) => {
      const { tenant } = ctx.caller;
      if (tenant === FLEET_TENANT)
        throw ProblemError.of({
          code: 'volume.tenant_invalid',
          message: 'a volume is a tenant’s, and the caller is of none: ask with a token of the tenant',
        });
      const volumeId = ctx.newId('volume');
      const asked = {
        workflowId: ctx.newId('op'),
        definition: volumes.createVolume({ pinned: host !== undefined }),
        params: { volumeId, volume: volumeFile(volumeId), pool: body.pool, sizeMiB: body.sizeMiB, ...(host === undefined ? {} : { host }) },
        subject: volumeId,
      };
      const decided = await decideVolume(ctx, volumeId, { type: 'request', volume: { volumeId, tenant, ...body, request: asked } });
      if (!decided.ok) throw ProblemError.of(decided.rejection);
      return accepted(decided.volume);
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
      const decided = await decideVolume(ofTenant(ctx, volume.tenant), id, asked, ifMatch(request));
      if (!decided.ok) throw ProblemError.of(decided.rejection);
      return accepted(decided.volume);
    });
  }

  async #present(ctx: CommandContext, id: string): Promise<volumes.KnownVolume> {
    const volume = await volumeOf(ctx.tx, this.service.schema, reachOf(ctx.caller), id);
    if (!volume || volume.status === 'deleted') throw ProblemError.of({ code: 'volume.unknown', volumeId: id });
    return volume;
  }
}

const accepted = ({ volumeId, operation }: volumes.KnownVolume) => ({
  status: 202,
  body: { operation, volumeId },
  headers: { location: `/v1/operations/${operation}` },
});

/** At the host that alone sees its pool, or else at any that does. */
const deletion = (volume: volumes.KnownVolume, workflowId: string) => ({
  workflowId,
  definition: volumes.deleteVolume({ file: volumes.hasFile(volume), pinned: volume.hostId !== undefined }),
  params: {
    volumeId: volume.volumeId,
    volume: volumeFile(volume.volumeId),
    pool: volume.pool,
    ...(volume.hostId === undefined ? {} : { host: volume.hostId }),
  },
  subject: volume.volumeId,
});
