import { Controller, HttpCode, Inject, Param, Patch, Post, Req } from '@nestjs/common';
import { Name, PoolId, PoolSettings, Positive, views } from '@chrysalis/contracts';
import { findHost } from '@chrysalis/placement';
import { capacityOfPool } from '@chrysalis/resource-allocation-core';
import {
  Allow,
  Commands,
  Doc,
  dryRunQuery,
  etag,
  ifMatch,
  parseBody,
  ProblemError,
  SERVICE,
  type Answer,
  type ApiRequest,
  type ServiceContext,
} from '@chrysalis/service-kit';
import { z } from 'zod';
import { FleetView } from '../fleet-view.ts';
import { decidePool } from '../pools/decide-pool.ts';

const Change = PoolSettings.partial()
  .extend({ reason: z.string().min(1).max(255) })
  .strict();
const Asked = z.strictObject({ pool: Name, poolId: PoolId.optional(), sizeMiB: Positive, host: Name.optional() });

@Controller()
export class PoolsController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Commands) private readonly commands: Commands,
  ) {}

  @Patch('/v1/pools/:id')
  @HttpCode(200)
  @Allow('admin')
  @Doc({
    summary: 'Say how much of a storage pool may be promised, and whether its files are made thin or in full',
    body: Change,
    query: dryRunQuery,
    answers: { 200: views.PoolDecided, 404: '`pool.unknown`', 409: '`pool.overcommit_refused`' },
  })
  change(@Req() request: ApiRequest, @Param('id') poolId: string): Promise<Answer> {
    return this.commands.run(request, Change, async ({ reason, ...wanted }, ctx) => {
      const settings = Object.fromEntries(Object.entries(wanted).filter(([, v]) => v !== undefined)) as Partial<PoolSettings>;
      const decided = await decidePool(ctx, { type: 'change-settings', poolId, settings, reason }, ifMatch(request));
      if (!decided.ok) throw ProblemError.of(decided.rejection as never);
      if (decided.pool.status === 'unknown') throw ProblemError.of({ code: 'pool.unknown', poolId });
      const { name, settings: now, heldMiB } = decided.pool;
      const body = { poolId, name, settings: now, capacityMiB: capacityOfPool(decided.pool), heldMiB, version: decided.version };
      return { status: 200, body, headers: etag(decided.version) };
    });
  }

  @Post('/v1/volume-placements')
  @HttpCode(200)
  @Allow('viewer')
  @Doc({
    summary: 'Where could a volume be made? Holds nothing; every refused host comes with its reasons',
    body: Asked,
    noDryRun: 'Nothing is kept of it anyhow: it is a trial by itself',
    answers: { 200: views.Placement },
  })
  async place(@Req() request: ApiRequest): Promise<object> {
    const { sizeMiB, ...asked } = parseBody(Asked, request.body ?? {});
    return findHost(await FleetView.of(this.service.store).hosts(this.service.pool), { ...asked, fresh: true, moreMiB: sizeMiB });
  }
}
