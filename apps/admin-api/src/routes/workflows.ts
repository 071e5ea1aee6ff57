import { Controller, Get, Inject, Param, Query as QueryParams, Req } from '@nestjs/common';
import { workflowStates, views } from '@chrysalis/contracts';
import { Allow, Answer, Doc, type ApiRequest } from '@chrysalis/service-kit';
import { Owners } from '../owners.ts';
import { oneAnswer } from '../reads/answer.ts';
import { readFeed, positionOf } from '../reads/feed.ts';
import { ReadModels, type Document, type Found, type Page, type Query } from '../reads/read-models.ts';
import { models } from '../reads/tables.ts';
import { tasksOf } from '../reads/tasks.ts';
import { listDoc, oneDoc, oneOf, passedDoc } from './docs.ts';

@Controller()
export class WorkflowsController {
  constructor(
    @Inject(ReadModels) private readonly reads: ReadModels,
    @Inject(Owners) private readonly owners: Owners,
  ) {}

  @Get('/v1/workflows')
  @Allow('viewer')
  @Doc(
    listDoc('Workflow instances', views.Workflow, {
      state: oneOf(workflowStates, 'Only in this state'),
      subject: 'Only about this',
      name: 'Only of this template',
    }),
  )
  list(@QueryParams() query: Query, @Req() request: ApiRequest): Promise<Page> {
    return this.reads.list(models.workflows, query, request.caller);
  }

  @Get('/v1/workflows/:id')
  @Allow('viewer')
  @Doc({
    ...oneDoc(
      'The whole graph of a workflow with the state of each task; `source` says whether from its owner or, while that is away, the read models',
      views.Graph,
    ),
    query: { asOf: 'As it was at this moment (ISO 8601) or version', items: '`some` of a forEach, `all` or `none`' },
  })
  async one(@Param('id') id: string, @Req() request: ApiRequest, @QueryParams('asOf') asOf?: string): Promise<Answer> {
    const workflow = await this.reads.one(models.workflows, id, request.caller);
    if (asOf !== undefined) return asShown(await this.owners.pass('workflow', request));
    const live = await this.owners.ask('workflow', request, LIVE_MS);
    return live ? asShown(live) : this.#lastKnown(workflow, request);
  }

  @Get('/v1/workflows/:id/tasks/:name/items')
  @Allow('viewer')
  @Doc(passedDoc('The items of a forEach, page by page'))
  items(@Req() request: ApiRequest): Promise<Answer> {
    return this.owners.pass('workflow', request);
  }

  @Get('/v1/workflows/:id/analysis')
  @Allow('viewer')
  @Doc(passedDoc('What can run in parallel, the critical path and the slack of each task'))
  analysis(@Req() request: ApiRequest): Promise<Answer> {
    return this.owners.pass('workflow', request);
  }

  @Get('/v1/workflow-templates/:name/:version/analysis')
  @Allow('viewer')
  @Doc(passedDoc('The same of a template, from earlier runs'))
  templateAnalysis(@Req() request: ApiRequest): Promise<Answer> {
    return this.owners.pass('workflow', request);
  }

  @Get('/v1/workflows/:id/history')
  @Allow('viewer')
  @Doc(
    listDoc(
      'Every event of a workflow, in order; with `Accept: application/x-ndjson` the raw log, one JSON document a line',
      views.FeedEntry,
      {
        after: 'Only after this position',
      },
    ),
  )
  async history(@Param('id') id: string, @Req() request: ApiRequest, @QueryParams('after') after?: string): Promise<object> {
    if ([request.headers.accept].flat().join().includes('application/x-ndjson')) return this.owners.stream('workflow', request);
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

  async #lastKnown(workflow: Found, request: ApiRequest): Promise<Answer> {
    const id = workflow['workflowId'] as string;
    const graph = await this.reads.find(models.graphs, id, request.caller);
    const known = await tasksOf(this.reads, id);
    const definition = graph?.['definition'] as { tasks: readonly TaskShape[] } | undefined;
    const shape = new Map(definition?.tasks.map((t) => [t.name, t]));
    const tasks = known.map((data) => ({ ...data, ...named(data), ...shapeOf(shape.get(data['task'] as string)) }));
    return oneAnswer(request, workflow, { ...workflow, params: graph?.['params'], tasks, source: 'read-models' });
  }
}

/** So long the owner may be away before the read models answer. */
const LIVE_MS = 300;

/** As this door shows things: `version` is the stream's. */
const asShown = (answer: Answer): Answer => {
  if (answer.status !== 200) return answer;
  const { streamVersion, version, ...view } = answer.body as Document & { streamVersion: number };
  return new Answer(200, { ...view, definitionVersion: version, version: streamVersion, source: 'workflow' }, answer.headers);
};

/** The read models' words for what the owner calls otherwise. */
const phases: Readonly<Record<string, string>> = { pending: 'waiting', running: 'dispatched' };
const named = ({ task, state }: Document): Document => ({ name: task, state: phases[state as string] ?? state });

type TaskShape = {
  name: string;
  after?: readonly string[];
  input: unknown;
  forEach?: { items: string };
  when?: string;
  compensation?: { kind: string };
  pointOfNoReturn?: boolean;
};

/** What a reader needs to draw the graph; order comes from `after` and from what the inputs refer to. */
const shapeOf = (t: TaskShape | undefined): Document =>
  t === undefined
    ? {}
    : {
        after: before(t),
        dependsOn: before(t),
        ...(t.when ? { when: t.when } : {}),
        ...(t.compensation ? { undoneBy: t.compensation.kind } : {}),
        ...(t.pointOfNoReturn ? { pointOfNoReturn: true } : {}),
      };
const before = (t: TaskShape): string[] =>
  [...new Set([...(t.after ?? []), ...references(`${JSON.stringify([t.input, t.forEach?.items])} ${t.when ?? ''}`)])].filter(
    (n) => n !== t.name,
  );
const references = (text: string): string[] => [...text.matchAll(/\btasks(?:\.|\[\\?["'])([a-z][a-z0-9-]*)/g)].map((m) => m[1]!);
