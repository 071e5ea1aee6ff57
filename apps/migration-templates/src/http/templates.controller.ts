import { Controller, Delete, HttpCode, Inject, Param, Post, Put, Req } from '@nestjs/common';
import { Id, Name, TemplateSpec, TemplateStep, Version, views } from '@chrysalis/contracts';
import { optionsQueryDecider, templateDecider, type ExtraSteps } from '@chrysalis/migration-templates-core';
import {
  Allow,
  Commands,
  Doc,
  dryRunQuery,
  ifMatch,
  ofTenant,
  parse,
  ProblemError,
  SERVICE,
  type Answer,
  type ApiRequest,
  type CommandContext,
  type ServiceContext,
} from '@chrysalis/service-kit';
import { z } from 'zod';
import { markDeleted, markRetired, takeName, usersOf } from '../sql/templates.ts';
import { specByOption } from './by-option.ts';
import { foldOf, historyOf } from './lookups.ts';
import { ownTemplate, publishSpec, typesTold, updateSpec } from './publishing.ts';

const Script = z.array(TemplateStep).max(64);
const Publish = z.union([
  z.strictObject({ name: Name, spec: TemplateSpec }),
  z.strictObject({
    name: Name,
    fromOption: z.strictObject({ queryId: Id, optionId: z.string().max(255) }),
    preMigration: Script.optional(),
    postMigration: Script.optional(),
  }),
]);
const Update = z.strictObject({ spec: TemplateSpec, from: Version.optional().describe('only where this is its newest version still') });
const None = z.object({});

@Controller()
export class TemplatesController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Commands) private readonly commands: Commands,
  ) {}

  @Post('/v1/migration-templates')
  @HttpCode(201)
  @Allow('operator')
  @Doc({
    summary: 'Publish a version of a template, written out or from an option that was offered; the same spec is the same version',
    body: Publish,
    query: dryRunQuery,
    answers: {
      201: views.TemplatePublished,
      409: '`option.refused`, `template.retired`, `template.name_taken`',
      422: '`template.invalid`, with every fault',
    },
  })
  publish(@Req() request: ApiRequest): Promise<Answer> {
    return this.commands.run(request, Publish, (body, ctx) => this.#publish(request, body, ctx), (body) => this.#told(body)); // prettier-ignore
  }

  async #publish(request: ApiRequest, body: z.infer<typeof Publish>, ctx: CommandContext) {
    const spec = 'spec' in body ? body.spec : await this.#fromOption(request, body.fromOption, extra(body), ctx);
    return publishSpec(ctx, body.name, spec);
  }

  async #told(body: z.infer<typeof Publish>): Promise<void> {
    if ('spec' in body) await typesTold(this.service, body.spec);
  }

  @Put('/v1/migration-templates/:name')
  @HttpCode(200)
  @Allow('operator')
  @Doc({
    summary:
      'Change a template: the spec becomes its newest version; what went by older ones goes on by them. `from`, or `If-Match`, guards against others',
    body: Update,
    query: dryRunQuery,
    answers: {
      200: views.TemplatePublished,
      404: '`template.unknown`',
      409: '`template.retired`',
      412: '`template.version_outdated`, `stream.version_mismatch`',
      422: '`template.invalid`, with every fault',
    },
  })
  update(@Req() request: ApiRequest, @Param('name') name: string): Promise<Answer> {
    return this.commands.run(
      request,
      Update,
      ({ spec, from }, ctx) => updateSpec(ctx, parse(Name, name), { spec, from }, ifMatch(request)),
      ({ spec }) => typesTold(this.service, spec),
    );
  }

  @Post('/v1/migration-templates/:name/retire')
  @HttpCode(200)
  @Allow('operator')
  @Doc({
    summary: 'Retire a template: it takes no new migrations and no new versions; what runs goes on, and it can still be read',
    body: None,
    query: dryRunQuery,
    answers: { 200: views.Retired, 404: '`template.unknown`' },
  })
  retire(@Req() request: ApiRequest, @Param('name') given: string): Promise<Answer> {
    return this.commands.run(request, None, async (_, ctx) => {
      const name = parse(Name, given);
      const row = await ownTemplate(ctx, name);
      const decided = await ofTenant(ctx, row.tenant).decide(`template-${name}`, templateDecider, { kind: 'retire', name });
      if (!decided.ok) throw ProblemError.of(decided.rejection);
      await markRetired(ctx.tx, this.service.schema, name);
      return { status: 200, body: { name, retired: true } };
    });
  }

  @Delete('/v1/migration-templates/:name')
  @HttpCode(200)
  @Allow('operator')
  @Doc({
    summary:
      'Delete a template with its versions, while nothing uses it. Its name stays its tenant’s, and the numbers of its versions are not used again',
    query: dryRunQuery,
    answers: { 200: views.TemplateDeleted, 404: '`template.unknown`', 409: '`template.in_use`, with those that use it' },
  })
  remove(@Req() request: ApiRequest, @Param('name') given: string): Promise<Answer> {
    return this.commands.run(request, None, async (_, ctx) => {
      const { schema } = this.service;
      const name = parse(Name, given);
      const { tenant } = await ownTemplate(ctx, name);
      await takeName(ctx.tx, schema, name, tenant);
      const usedBy = await usersOf(ctx.tx, schema, name);
      const decided = await ofTenant(ctx, tenant).decide(`template-${name}`, templateDecider, { kind: 'delete', name, usedBy });
      if (!decided.ok) throw ProblemError.of(decided.rejection);
      await markDeleted(ctx.tx, schema, name, ctx.now);
      return { status: 200, body: { name, deleted: true } };
    });
  }

  async #fromOption(
    request: ApiRequest,
    { queryId, optionId }: { queryId: string; optionId: string },
    steps: ExtraSteps,
    ctx: CommandContext,
  ): Promise<TemplateSpec> {
    const { store } = this.service;
    const history = await historyOf(
      store,
      `options-query-${queryId}`,
      request,
      () => ProblemError.ofMember({ code: 'options-query.unknown', queryId }),
      ctx.tx,
    );
    const query = foldOf(optionsQueryDecider, history);
    if (query.status === 'none' || !query.answer) throw ProblemError.of({ code: 'options-query.unanswered', queryId });
    const option = query.answer.options.find((o) => o.id === optionId);
    if (!option) {
      const blockers = query.answer.refused.find((r) => r.id === optionId)?.blockers;
      throw blockers
        ? ProblemError.of({ code: 'option.refused', optionId, blockers })
        : ProblemError.ofMember({ code: 'option.unknown', optionId, queryId });
    }
    return specByOption(ctx, option, query.vmIds, steps);
  }
}

const extra = (body: { preMigration?: TemplateStep[] | undefined; postMigration?: TemplateStep[] | undefined }): ExtraSteps => ({
  preMigration: body.preMigration ?? [],
  postMigration: body.postMigration ?? [],
});
