import { createHash } from 'node:crypto';
import { Controller, Delete, Get, HttpCode, Inject, Param, Post, Query, Req } from '@nestjs/common';
import { Name, views, workflowTemplateSchema, WorkflowTemplate, type ProblemCode, type Refusal } from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import {
  Allow,
  Answer,
  Commands,
  Doc,
  Media,
  dryRunQuery,
  parse,
  ProblemError,
  SERVICE,
  shortPageQuery,
  type ApiRequest,
  type CommandContext,
  type ServiceContext,
} from '@chrysalis/service-kit';
import { judgeTemplate, templateRegistry, templateVersion, type Judged, type TemplateFault } from '@chrysalis/workflow-core';
import { z } from 'zod';
import { Engine } from '../engine/engine.ts';
import { insertTemplate, markRetired, templateOf, templatesAfter, templatesThere, versionsOf, type TemplateRow } from '../sql/templates.ts';
import { warnedOf, type Warned } from './warned.ts';

const Page = z.object({ limit: z.coerce.number().int().min(1).max(500).default(100), cursor: z.string().max(255).default('') });
/** The definition is judged by the registry's own rules, so that all its faults come with one code. */
const Given = z.strictObject({ definition: z.unknown() });
const Documented = z.strictObject({ definition: WorkflowTemplate });
const None = z.object({});
const schema = workflowTemplateSchema();
const invalid = '`workflow.template_invalid`, with every fault and its place';

@Controller()
export class TemplatesController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Commands) private readonly commands: Commands,
    @Inject(Engine) private readonly engine: Engine,
  ) {}

  @Post('/v1/workflow-templates')
  @HttpCode(201)
  @Allow('admin')
  @Doc({
    summary: 'Publish a version of a workflow template; the same content again is the same version',
    body: Documented,
    query: dryRunQuery,
    answers: {
      201: views.WorkflowTemplatePublished.describe(
        '`warnings`: tasks of a kind that nobody takes, each with its place and with the kinds there are',
      ),
      409: '`workflow.template_retired`',
      422: invalid,
    },
  })
  async publish(@Req() request: ApiRequest): Promise<Answer> {
    const judged = orRefuse(judgeTemplate(parse(Given, request.body ?? {}).definition));
    const warned = await this.#warned(judged.template);
    return this.commands.run(request, Given, (_, ctx) => this.#publish(judged, warned, ctx));
  }

  @Post('/v1/workflow-templates/validate')
  @HttpCode(200)
  @Allow('viewer')
  @Doc({
    summary: 'Try a workflow template: what publishing it would find wrong. Nothing is kept',
    body: Documented,
    noDryRun: 'Nothing is kept of it anyhow: it is a trial by itself',
    answers: { 200: views.WorkflowTemplateValid, 422: invalid },
  })
  async validate(@Req() request: ApiRequest): Promise<object> {
    const { template } = orRefuse(judgeTemplate(parse(Given, request.body ?? {}).definition));
    return { valid: true, name: template.name, tasks: template.tasks.length, ...(await this.#warned(template)) };
  }

  @Get('/v1/workflow-templates/schema')
  @Allow('viewer')
  @Doc({
    summary: 'The JSON Schema (2020-12) of a workflow template',
    answers: { 200: new Media('application/schema+json', 'A JSON Schema') },
  })
  schema(): Answer {
    return new Answer(200, JSON.stringify(schema), { 'content-type': 'application/schema+json' });
  }

  @Get('/v1/workflow-templates')
  @Allow('viewer')
  @Doc({
    summary: 'The newest version of each workflow template, by name, without its tasks',
    query: shortPageQuery,
    answers: { 200: views.pageOf(views.WorkflowTemplateHead) },
  })
  async list(@Query() query: unknown): Promise<object> {
    const { limit, cursor } = parse(Page, query);
    const rows = await templatesAfter(this.service.pool, this.service.schema, cursor, limit);
    const items = rows.map((r) => ({ ...r, at: r.at.toISOString(), ref: `${r.name}@${r.version}` }));
    return { items, ...(rows.length === limit ? { next: rows.at(-1)!.name } : {}) };
  }

  @Get('/v1/workflow-templates/:name')
  @Allow('viewer')
  @Doc({
    summary: 'The newest version, and which there are',
    answers: { 200: views.WorkflowTemplateVersion, 404: '`workflow.template_unknown`' },
  })
  async newest(@Param('name') name: string): Promise<object> {
    const row = await this.#row(name);
    return { ...view(row), versions: await versionsOf(this.service.pool, this.service.schema, name) };
  }

  @Get('/v1/workflow-templates/:name/:version')
  @Allow('viewer')
  @Doc({ summary: 'One version; it never changes', answers: { 200: views.WorkflowTemplateVersion, 404: '`workflow.template_unknown`' } })
  async one(@Param('name') name: string, @Param('version') version: string): Promise<object> {
    return view(await this.#row(name, version));
  }

  @Delete('/v1/workflow-templates/:name')
  @HttpCode(200)
  @Allow('admin')
  @Doc({
    summary: 'Retire a workflow template: no new starts by its name; what runs or is queued goes on',
    query: dryRunQuery,
    answers: { 200: views.Retired, 404: '`workflow.template_unknown`' },
  })
  retire(@Req() request: ApiRequest, @Param('name') given: string): Promise<Answer> {
    return this.commands.run(request, None, async (_, ctx) => {
      const name = Name.safeParse(given).data ?? (await this.#unknown(ctx.tx, given));
      const decided = await ctx.decide(`workflow-template-${name}`, templateRegistry, { type: 'retire', name });
      if (!decided.ok)
        return decided.rejection.code === 'workflow.template_unknown' ? this.#unknown(ctx.tx, name) : refuse(decided.rejection);
      await markRetired(ctx.tx, this.service.schema, name);
      return { status: 200, body: { name, retired: true } };
    });
  }

  #warned(template: WorkflowTemplate): Promise<Warned> {
    return warnedOf(template, this.engine, this.service.pool, this.service.schema);
  }

  async #publish({ template, text }: Extract<Judged, { ok: true }>, warned: Warned, ctx: CommandContext) {
    const { name } = template;
    const digest = `sha256:${createHash('sha256').update(text).digest('hex')}`;
    const decided = await ctx.decide(`workflow-template-${name}`, templateRegistry, { type: 'publish', template, digest });
    if (!decided.ok) throw ProblemError.of(decided.rejection);
    for (const { type, data } of decided.events)
      if (type === 'chrysalis.workflow.template.published.v1') await insertTemplate(ctx.tx, this.service.schema, data.definition, ctx.now);
    const version = templateVersion(decided.state, digest);
    const headers = { location: `/v1/workflow-templates/${name}/${version}`, etag: `"${version}"` };
    return { status: 201, body: { name, version, ref: `${name}@${version}`, ...warned }, headers };
  }

  /** Within a transaction on its own connection: who waits for a second one while holding a first may wait for ever. */
  async #unknown(db: Queryable, name: string, version?: string): Promise<never> {
    const template = version === undefined ? name : `${name}@${version}`;
    const known = await templatesThere(db, this.service.schema, name);
    throw ProblemError.of({ code: 'workflow.template_unknown', template: template.slice(0, 100), known });
  }

  async #row(name: string, version?: string): Promise<TemplateRow> {
    const sane = Name.safeParse(name).success && (version === undefined || /^[1-9][0-9]{0,8}$/.test(version));
    const row = sane
      ? await templateOf(this.service.pool, this.service.schema, name, version === undefined ? undefined : Number(version))
      : undefined;
    return row ?? this.#unknown(this.service.pool, name, version);
  }
}

const view = ({ name, version, definition, at, retired }: TemplateRow) => ({
  name,
  version,
  ref: `${name}@${version}`,
  at: at.toISOString(),
  retired,
  definition,
});

const refuse = (rejection: Refusal<ProblemCode>): never => {
  throw ProblemError.of(rejection);
};

const orRefuse = (judged: Judged): Extract<Judged, { ok: true }> => {
  if (judged.ok) return judged;
  throw ProblemError.of({ code: 'workflow.template_invalid', message: textOf(judged.faults), faults: judged.faults });
};
const textOf = (faults: readonly TemplateFault[]): string =>
  `${faults.length} fault${faults.length === 1 ? '' : 's'}: ${faults
    .slice(0, 20)
    .map((f) => `${f.place || '(template)'}: ${f.message}`)
    .join('; ')}`.slice(0, 2000);
