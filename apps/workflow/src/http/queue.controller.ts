import { Controller, Get, HttpCode, Inject, Put, Query, Req } from '@nestjs/common';
import { limitsSet, WorkflowLimits, views } from '@chrysalis/contracts';
import {
  Allow,
  Commands,
  Doc,
  dryRunQuery,
  isOfFleet,
  parse,
  reachOf,
  SERVICE,
  shortPageQuery,
  type Answer,
  type ApiRequest,
  type ServiceContext,
} from '@chrysalis/service-kit';
import { z } from 'zod';
import { listQueue, runningByTenantAndKind } from './sql.ts';
import { Pump } from '../queue/pump.ts';
import * as sql from '../queue/sql.ts';

const Page = z.object({
  limit: z.coerce.number().int().min(1).max(500).default(100),
  cursor: z
    .string()
    .regex(/^[0-9]{1,9}$/)
    .default('0'),
  tenant: z.string().max(64).optional(),
});

@Controller()
export class QueueController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Commands) private readonly commands: Commands,
    @Inject(Pump) private readonly pump: Pump,
  ) {}

  @Get('/v1/workflow-queue')
  @Allow('viewer')
  @Doc({
    summary: 'What waits for its start, who goes first before others; `position` is among its tenant’s',
    query: { ...shortPageQuery, tenant: 'only of this tenant; for the fleet’s administration' },
    answers: { 200: views.pageOf(views.Queued) },
  })
  async queue(@Query() query: unknown, @Req() { caller }: ApiRequest): Promise<object> {
    const { limit, cursor, tenant } = parse(Page, query);
    const of = reachOf(caller) ?? tenant;
    const from = Number(cursor);
    const items = await listQueue(this.service.pool, this.service.schema, { tenant: of, from, limit: limit + 1 });
    return { items: items.slice(0, limit), ...(items.length > limit ? { next: String(from + limit) } : {}) };
  }

  @Get('/v1/workflow-limits')
  @Allow('viewer')
  @Doc({
    summary: 'How many workflows may run, and how many do; of other tenants only for the fleet’s administration',
    answers: { 200: views.Limits },
  })
  async limits(@Req() { caller }: ApiRequest): Promise<object> {
    const { pool, schema } = this.service;
    const [limits, running] = await Promise.all([sql.readLimits(pool, schema), runningByTenantAndKind(pool, schema)]);
    if (isOfFleet(caller)) return { limits, running };
    const { tenants, ...rest } = limits;
    const own = tenants && Object.hasOwn(tenants, caller.tenant) ? { tenants: { [caller.tenant]: tenants[caller.tenant] } } : {};
    return { limits: { ...rest, ...own }, running: running.filter((r) => r.tenant === caller.tenant) };
  }

  @Put('/v1/workflow-limits')
  @HttpCode(200)
  @Allow('admin')
  @Doc({
    summary: 'Set how many workflows may run: overall, per tenant, per kind. The whole document; in force everywhere within a second',
    body: WorkflowLimits,
    query: dryRunQuery,
    answers: { 200: views.Limits.pick({ limits: true }), 422: '`request.invalid`, with every fault' },
  })
  async setLimits(@Req() request: ApiRequest): Promise<Answer> {
    const answer = await this.commands.run(request, WorkflowLimits, async (limits, ctx) => {
      await ctx.append('workflow-limits', 'any', { type: limitsSet.type, data: { limits, at: ctx.now } });
      await sql.writeLimits(ctx.tx, this.service.schema, limits, ctx.now);
      await sql.notify(ctx.tx, this.service.schema);
      return { status: 200, body: { limits } };
    });
    await this.pump.reload(); // here they are in force with the answer; elsewhere the notification is on its way
    return answer;
  }
}
