import { Controller, Get, Inject, Param, Query as QueryParams, Req } from '@nestjs/common';
import { views } from '@chrysalis/contracts';
import { Allow, Doc, type Answer, type ApiRequest } from '@chrysalis/service-kit';
import { oneAnswer } from '../reads/answer.ts';
import { withHosts } from '../reads/pools.ts';
import { ReadModels, type Found, type Page, type Query } from '../reads/read-models.ts';
import { models } from '../reads/tables.ts';
import { listDoc, oneDoc } from './docs.ts';

@Controller()
export class PoolsController {
  constructor(@Inject(ReadModels) private readonly reads: ReadModels) {}

  @Get('/v1/pools')
  @Allow('viewer')
  @Doc(
    listDoc('Storage pools: their room, what is promised of it, and the hosts that have them', views.Pool, { name: 'Only of this name' }),
  )
  async list(@QueryParams() query: Query, @Req() request: ApiRequest): Promise<Page> {
    const page = await this.reads.list(models.pools, query, request.caller);
    return { ...page, items: await withHosts(this.reads, page.items) };
  }

  @Get('/v1/pools/:id')
  @Allow('viewer')
  @Doc(oneDoc('A storage pool, with who holds what in it', views.Pool))
  async one(@Param('id') id: string, @Req() request: ApiRequest): Promise<Answer> {
    const [pool] = (await withHosts(this.reads, [await this.reads.one(models.pools, id, request.caller)])) as [Found];
    const { items } = await this.reads.list(models.poolHolds, { pool: id, limit: '1000' }, request.caller);
    return oneAnswer(request, pool, { ...pool, holds: items });
  }
}
