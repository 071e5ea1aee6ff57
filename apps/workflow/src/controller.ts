import { Readable } from 'node:stream';
import { Controller, Get, Inject, Param, Post, Query, Req, StreamableFile } from '@nestjs/common';
import { isReservedWorkflowId, workflowStates } from '@chrysalis/contracts';
import type { StoredEvent } from '@chrysalis/event-store';
import { Allow, Answer, Doc, parse, ProblemError, SERVICE, type ApiRequest, type ServiceContext } from '@chrysalis/service-kit';
import { viewOf } from '@chrysalis/workflow-core';
import { z } from 'zod';
import type { Entry } from './cache.ts';
import { Engine, streamOf } from './engine.ts';
import { entryAfter, nothing } from './plan.ts';
import { remove } from './queue/sql.ts';
import { listInstances } from './sql/list.ts';

const CancelBody = z.object({ reason: z.string().min(1).max(255) });
const AsOf = z.union([z.iso.datetime({ offset: true }), z.string().regex(/^[1-9][0-9]{0,8}$/)]);
const ListQuery = z.object({
  state: z.enum(workflowStates).optional(),
  subject: z.string().max(127).optional(),
  name: z.string().max(63).optional(),
  cursor: z.string().max(512).optional(),
  limit: z.coerce.number().int().min(1).max(500).default(50),
});
const Cursor = z.object({ startedAt: z.iso.datetime(), workflowId: z.string() });
const PAGE = 1_000;

@Controller()
export class WorkflowsController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Engine) private readonly engine: Engine,
  ) {}

  @Get('/v1/workflows')
  @Allow('viewer')
  @Doc({
    summary: 'Workflow instances, the latest first',
    query: {
      state: 'Only in this state',
      subject: 'Only about this',
      name: 'Only of this definition',
      limit: '1 to 500',
      cursor: 'From `next`',
    },
    answers: { 200: 'A page: `items`, and `next` if there are more' },
  })
  async list(@Query() query: Record<string, string>, @Req() request: ApiRequest): Promise<object> {
    const { cursor, ...asked } = parse(ListQuery, query);
    const after = cursor === undefined ? undefined : decodeCursor(cursor);
    const items = await listInstances(this.service.pool, this.service.schema, {
      ...asked,
      after,
      tenant: tenantOf(request),
      limit: asked.limit + 1,
    });
    const page = items.slice(0, asked.limit);
    const last = page.at(-1);
    return { items: page, ...(items.length > page.length && last ? { next: encodeCursor(last) } : {}) };
  }

  @Get('/v1/workflows/:id')
  @Allow('viewer')
  @Doc({
    summary: 'The whole graph with the state of each task, also as it was',
    query: { asOf: 'A moment (ISO 8601) or a version: the graph as it was then' },
    answers: { 200: 'The instance; `ETag` is its version', 404: 'No such workflow, or not at that moment' },
  })
  async get(@Param('id') id: string, @Query('asOf') asOf: string | undefined, @Req() request: ApiRequest): Promise<Answer> {
    const entry = asOf === undefined ? await this.#load(id, request) : await this.#loadAsOf(id, parse(AsOf, asOf), request);
    return new Answer(200, { ...viewOf(entry.state), streamVersion: entry.version }, { etag: `"${entry.version}"` });
  }

  @Get('/v1/workflows/:id/history')
  @Allow('viewer')
  @Doc({
    summary: 'Every event of the instance, one JSON document a line',
    answers: { 200: 'application/x-ndjson', 404: 'No such workflow' },
  })
  async history(@Param('id') id: string, @Req() request: ApiRequest): Promise<StreamableFile> {
    await this.#load(id, request);
    return new StreamableFile(Readable.from(this.#lines(id)), { type: 'application/x-ndjson' });
  }

  @Post('/v1/workflows/:id/cancel')
  @Allow('operator')
  @Doc({
    summary: 'Undo what was done and end. Asking again is harmless',
    body: CancelBody,
    answers: {
      202: 'It is being undone',
      404: 'No such workflow',
      409: 'It has ended, is being undone already, or is past its point of no return',
    },
  })
  async cancel(@Param('id') id: string, @Req() request: ApiRequest): Promise<Answer> {
    const { reason } = parse(CancelBody, request.body ?? {});
    await this.#load(id, request);
    const outcome = await this.engine.submit({ workflowId: id, command: { type: 'cancel', reason }, actor: `user:${request.caller.sub}` });
    if (!outcome.ok) throw ProblemError.of(outcome.rejection);
    await remove(this.service.pool, this.service.schema, [id]); // where it had not started it leaves the queue
    return new Answer(202, { workflowId: id, operation: id }, { etag: `"${outcome.version}"` });
  }

  async #load(id: string, request: ApiRequest): Promise<Entry> {
    return visible(id, isReservedWorkflowId(id) ? nothing : await this.engine.load(id), request);
  }

  async #loadAsOf(id: string, asOf: string, request: ApiRequest): Promise<Entry> {
    const when = /^\d+$/.test(asOf) ? { to: Number(asOf) } : { asOf };
    if (isReservedWorkflowId(id)) return visible(id, nothing, request);
    return visible(id, entryAfter(await this.service.store.read(streamOf(id), when)), request);
  }

  async *#lines(id: string): AsyncGenerator<string> {
    for (let from = 1; ; from += PAGE) {
      const events = await this.service.store.read(streamOf(id), { from, to: from + PAGE - 1 });
      for (const event of events) yield `${JSON.stringify(lineOf(event))}\n`;
      if (events.length < PAGE) return;
    }
  }
}

const lineOf = ({ version, id, type, data, meta }: StoredEvent): object => ({ version, id, type, at: meta.at, data, meta });

/** An administrator sees every tenant's; others their own, and of what is not theirs not even that it is there. */
const tenantOf = ({ caller }: ApiRequest): string | undefined => (caller.roles.includes('admin') ? undefined : caller.tenant);
const visible = (id: string, entry: Entry, request: ApiRequest): Entry => {
  const tenant = tenantOf(request);
  if (entry.state.status !== 'none' && (tenant === undefined || tenant === entry.tenant)) return entry;
  throw new ProblemError({ status: 404, code: 'workflow.unknown', title: 'No such workflow', workflowId: id });
};

const encodeCursor = ({ startedAt, workflowId }: z.infer<typeof Cursor>): string =>
  Buffer.from(JSON.stringify({ startedAt, workflowId })).toString('base64url');
const decodeCursor = (text: string): z.infer<typeof Cursor> => {
  try {
    return Cursor.parse(JSON.parse(Buffer.from(text, 'base64url').toString()));
  } catch {
    throw new ProblemError({ status: 422, code: 'request.invalid', title: 'The cursor is not one of ours' });
  }
};
