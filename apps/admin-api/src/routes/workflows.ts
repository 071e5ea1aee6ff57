import { Controller, Get, Inject, Param, Query as QueryParams, Req } from '@nestjs/common';
import { Allow, Doc, type Answer, type ApiRequest } from '@chrysalis/service-kit';
import { Owners } from '../owners.ts';
import { oneAnswer } from '../reads/answer.ts';
import { readFeed, positionOf } from '../reads/feed.ts';
import { ReadModels, type Document, type Page, type Query } from '../reads/read-models.ts';
import { models } from '../reads/tables.ts';
import { listDoc, oneDoc } from './docs.ts';

@Controller()
export class WorkflowsController {
  constructor(
    @Inject(ReadModels) private readonly reads: ReadModels,
    @Inject(Owners) private readonly owners: Owners,
  ) {}

  @Get('/v1/workflows')
  @Allow('viewer')
  @Doc(listDoc('Workflow instances', { state: 'Only in this state', subject: 'Only about this', name: 'Only of this template' }))
  list(@QueryParams() query: Query, @Req() request: ApiRequest): Promise<Page> {
    return this.reads.list(models.workflows, query, request.caller);
  }

  @Get('/v1/workflows/:id')
  @Allow('viewer')
  @Doc({ ...oneDoc('The whole graph of a workflow with the state of each task'), query: { asOf: 'As it was at this moment (ISO 8601)' } })
  async one(@Param('id') id: string, @Req() request: ApiRequest, @QueryParams('asOf') asOf?: string): Promise<Answer> {
    const workflow = await this.reads.one(models.workflows, id, request.caller);
    if (asOf !== undefined) return this.owners.pass('workflow', request);
    const graph = await this.reads.find(models.graphs, id, request.caller);
    const { rows } = await this.reads.query<{ data: Document }>(
      `select data from read.tasks where data ->> 'workflowId' = $1 order by (data ->> 'index')::int`,
      [id],
    );
    const definition = graph?.['definition'] as { tasks: readonly TaskShape[] } | undefined;
    const shape = new Map(definition?.tasks.map((t) => [t.name, t]));
    const tasks = rows.map(({ data }) => ({ ...data, ...shapeOf(shape.get(data['task'] as string)) }));
    return oneAnswer(request, workflow, { ...workflow, params: graph?.['params'], tasks });
  }

  @Get('/v1/workflows/:id/history')
  @Allow('viewer')
  @Doc({ ...listDoc('Every event of a workflow, in order', { after: 'Only after this position' }) })
  async history(@Param('id') id: string, @Req() request: ApiRequest, @QueryParams('after') after?: string): Promise<object> {
    await this.reads.one(models.workflows, id, request.caller);
    const items = await readFeed(this.reads, {
      after: positionOf(after) ?? '0',
      limit: 1000,
      streams: [`workflow-${id}`],
      caller: request.caller,
    });
    const last = items.at(-1);
    return { items, ...(items.length === 1000 && last ? { next: last.position } : {}) };
  }
}

type TaskShape = {
  name: string;
  after?: readonly string[];
  input: unknown;
  when?: string;
  compensation?: { kind: string };
  pointOfNoReturn?: boolean;
};

/** What a reader needs to draw the graph; order comes from `after` and from what the inputs refer to. */
const shapeOf = (t: TaskShape | undefined): Document =>
  t === undefined
    ? {}
    : {
        after: [...new Set([...(t.after ?? []), ...references(`${JSON.stringify(t.input)} ${t.when ?? ''}`)])].filter((n) => n !== t.name),
        ...(t.when ? { when: t.when } : {}),
        ...(t.compensation ? { undoneBy: t.compensation.kind } : {}),
        ...(t.pointOfNoReturn ? { pointOfNoReturn: true } : {}),
      };
const references = (text: string): string[] => [...text.matchAll(/\btasks(?:\.|\[\\?["'])([a-z][a-z0-9-]*)/g)].map((m) => m[1]!);
