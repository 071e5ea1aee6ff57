import { Controller, HttpCode, Inject, Post, Req } from '@nestjs/common';
import { Id, resourceAllocationTasks, views } from '@chrysalis/contracts';
import { place } from '@chrysalis/placement';
import { Allow, type ApiRequest, Doc, parseBody, SERVICE, type ServiceContext } from '@chrysalis/service-kit';
import { z } from 'zod';
import { FleetView } from '../fleet-view.ts';

const DryRun = resourceAllocationTasks.place.input.omit({ consumer: true }).extend({
  vmId: Id.default('vm-new'),
  consumer: z.enum(['vm', 'move']).default('vm'),
});

@Controller()
export class PlacementsController {
  constructor(@Inject(SERVICE) private readonly service: ServiceContext) {}

  @Post('/v1/placements')
  @HttpCode(200)
  @Allow('viewer')
  @Doc({
    summary: 'Where could this go? Holds nothing; every refused host comes with all its reasons',
    body: DryRun,
    noDryRun: 'Nothing is kept of it anyhow: it is a trial by itself',
    answers: { 200: views.Placement },
  })
  async dryRun(@Req() request: ApiRequest): Promise<object> {
    const asked = parseBody(DryRun, request.body ?? {});
    return place(await FleetView.of(this.service.store).hosts(this.service.pool), asked);
  }
}
