import { Controller, Get, Inject, Query } from '@nestjs/common';
import { taskGroups, views } from '@chrysalis/contracts';
import { Allow, Doc, parse, SERVICE, shortPageQuery, type ServiceContext } from '@chrysalis/service-kit';
import { executorRank } from '@chrysalis/workflow-core';
import { z } from 'zod';
import { list, type ExecutorRow } from '../executors/sql.ts';

const ListQuery = z.object({
  kind: z.string().max(128).optional(),
  health: z.enum(['up', 'lost']).optional(),
  group: z.enum(taskGroups).optional(),
  cursor: z.string().max(255).default(''),
  limit: z.coerce.number().int().min(1).max(500).default(100),
});

@Controller()
export class ExecutorsController {
  constructor(@Inject(SERVICE) private readonly service: ServiceContext) {}

  @Get('/v1/executors')
  @Allow('viewer')
  @Doc({
    summary: 'Who can run which kinds of tasks, whether it is there, and its rank when it bids',
    query: {
      kind: 'Only those that run this kind of task',
      health: z.enum(['up', 'lost']).describe('Only those that are there, or that are not'),
      group: z.enum(taskGroups).describe('Only of this group'),
      ...shortPageQuery,
    },
    answers: { 200: views.pageOf(views.Executor) },
  })
  async list(@Query() query: Record<string, string>): Promise<object> {
    const { cursor, limit, ...wanted } = parse(ListQuery, query);
    const found = await list(this.service.pool, this.service.schema, { ...wanted, after: cursor, limit: limit + 1 });
    const page = found.slice(0, limit);
    return { items: page.map(shown), ...(found.length > page.length ? { next: page.at(-1)!.executor } : {}) };
  }
}

/** `losses`: those that still weigh; `rankUntil`: when it rises by one. */
const shown = ({ now, losses, capacity, ...row }: ExecutorRow): object => {
  const { rank, until } = executorRank(losses, now);
  return {
    ...row,
    ...(capacity === null ? {} : { capacity }),
    rank,
    losses: losses.length,
    ...(until === undefined ? {} : { rankUntil: new Date(until).toISOString() }),
  };
};
