import { Readable } from 'node:stream';
import { Controller, Get, Inject, Param, Query, Req, StreamableFile } from '@nestjs/common';
import { isReservedWorkflowId, views } from '@chrysalis/contracts';
import type { StoredEvent } from '@chrysalis/event-store';
import {
  shortPageQuery,
  Allow,
  Answer,
  Doc,
  Media,
  parse,
  ProblemError,
  redact,
  SERVICE,
  type ApiRequest,
  type ServiceContext,
} from '@chrysalis/service-kit';
import { itemsOf, viewOf } from '@chrysalis/workflow-core';
import { z } from 'zod';
import type { Entry } from '../engine/cache.ts';
import { Engine, streamOf } from '../engine/engine.ts';
import { entryAfter, nothing } from '../engine/plan.ts';
import { loadVisible, visible } from './visible.ts';

/** PostgreSQL knows no year 0, and no offset of more than 16 hours: a moment goes there in UTC. */
const Moment = z.iso
  .datetime({ offset: true })
  .transform((text) => new Date(text).toISOString())
  .refine((at) => /^(?!0000)\d{4}-/.test(at), 'a moment of the years 1 to 9999');
const AsOf = z.union([z.string().regex(/^[1-9][0-9]{0,8}$/), Moment]);
const GetQuery = z.object({ asOf: AsOf.optional(), items: z.enum(['some', 'all', 'none']).default('some') });
const ItemsQuery = z.object({
  asOf: AsOf.optional(),
  state: z.string().max(32).optional(),
  cursor: z.coerce.number().int().min(0).max(100_000).default(0),
  limit: z.coerce.number().int().min(1).max(500).default(100),
});
const PAGE = 1_000;

@Controller()
export class WorkflowsController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Engine) private readonly engine: Engine,
  ) {}

  @Get('/v1/workflows/:id')
  @Allow('viewer')
  @Doc({
    summary: 'The whole graph with the state of each task, also as it was',
    query: {
      asOf: 'A moment (ISO 8601) or a version: the graph as it was then',
      items: '`some` (unless told): of a forEach those that failed or are under way, at most 100; `all`; `none`',
    },
    answers: { 200: views.GraphOfOwner.describe('The instance; `ETag` is its version'), 404: 'No such workflow, or not at that moment' },
  })
  async get(@Param('id') id: string, @Query() query: Record<string, string>, @Req() request: ApiRequest): Promise<Answer> {
    const { asOf, items } = parse(GetQuery, query);
    const { state, version } = await this.#at(id, asOf, request);
    return new Answer(200, { ...viewOf(state, { items }), streamVersion: version }, { etag: `"${version}"` });
  }

  @Get('/v1/workflows/:id/history')
  @Allow('viewer')
  @Doc({
    summary: 'Every event of the instance, one JSON document a line; secrets are left out for whoever is no administrator',
    answers: { 200: new Media('application/x-ndjson', 'An event a line'), 404: 'No such workflow' },
  })
  async history(@Param('id') id: string, @Req() request: ApiRequest): Promise<StreamableFile> {
    await loadVisible(this.engine, id, request);
    return new StreamableFile(Readable.from(this.#lines(id, request.caller.roles.includes('admin'))), { type: 'application/x-ndjson' });
  }

  @Get('/v1/workflows/:id/tasks/:name/items')
  @Allow('viewer')
  @Doc({
    summary: 'The items of a forEach, page by page',
    query: { state: 'Only in this state', ...shortPageQuery, asOf: 'A moment (ISO 8601) or a version' },
    answers: { 200: views.ItemsPage, 404: '`workflow.unknown`, `workflow.items_unknown`' },
  })
  async items(
    @Param('id') id: string,
    @Param('name') name: string,
    @Query() query: Record<string, string>,
    @Req() request: ApiRequest,
  ): Promise<object> {
    const { cursor: from, asOf, ...asked } = parse(ItemsQuery, query);
    const { state } = await this.#at(id, asOf, request);
    const page = itemsOf(state, name, { ...asked, from });
    if (page) return { ...page, ...(page.next === undefined ? {} : { next: String(page.next) }) };
    const message = `${name} is no forEach, or its items are not known yet`;
    throw ProblemError.of({ code: 'workflow.items_unknown', message, workflowId: id, task: name });
  }

  #at(id: string, asOf: string | undefined, request: ApiRequest): Promise<Entry> {
    return asOf === undefined ? loadVisible(this.engine, id, request) : this.#loadAsOf(id, asOf, request);
  }

  async #loadAsOf(id: string, asOf: string, request: ApiRequest): Promise<Entry> {
    const when = /^\d+$/.test(asOf) ? { to: Number(asOf) } : { asOf };
    if (isReservedWorkflowId(id)) return visible(id, nothing, request);
    return visible(id, entryAfter(await this.service.store.read(streamOf(id), when)), request);
  }

  async *#lines(id: string, whole: boolean): AsyncGenerator<string> {
    for (let from = 1; ; from += PAGE) {
      const events = await this.service.store.read(streamOf(id), { from, to: from + PAGE - 1 });
      for (const event of events) yield `${JSON.stringify(lineOf(whole ? event : { ...event, data: redact(event.data) }))}\n`;
      if (events.length < PAGE) return;
    }
  }
}

const lineOf = ({ version, id, type, data, meta }: StoredEvent): object => ({ version, id, type, at: meta.at, data, meta });
