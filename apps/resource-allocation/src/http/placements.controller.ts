import { Controller, Get, HttpCode, Inject, Post, Query, Req } from '@nestjs/common';
import { Amounts, Id, Name, resourceAllocationTasks, views } from '@chrysalis/contracts';
import { place } from '@chrysalis/placement';
import { Allow, type ApiRequest, Doc, parse, parseBody, reachOf, SERVICE, type ServiceContext } from '@chrysalis/service-kit';
import { z } from 'zod';
import { FleetView } from '../fleet-view.ts';
import { allocations } from '../sql/ledger.ts';
import { allocationView } from './views.ts';

const DryRun = resourceAllocationTasks.place.input.omit({ consumer: true }).extend({
  vmId: Id.default('vm-new'),
  consumer: z.enum(['vm', 'move']).default('vm'),
});
const Held = z.object({ host: Name, consumer: z.string(), vm: Id, ...Amounts.shape });
const Filter = z.object({ host: Name.optional(), vm: Id.optional() });

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

  @Get('/v1/allocations')
  @Allow('viewer')
  @Doc({
    summary: 'The ledger: who holds what where',
    query: { host: 'of this host', vm: 'of this VM' },
    answers: { 200: z.object({ items: z.array(Held) }) },
  })
  async ledger(@Query() query: unknown, @Req() { caller }: ApiRequest): Promise<object> {
    const { host, vm } = parse(Filter, query);
    const of = { ...(host ? { host } : {}), ...(vm ? { vm } : {}), tenant: reachOf(caller) };
    const rows = await allocations(this.service.pool, this.service.schema, of);
    return { items: rows.map(allocationView) };
  }
}
