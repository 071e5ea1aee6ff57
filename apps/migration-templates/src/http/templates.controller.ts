import { Controller, Delete, HttpCode, Inject, Param, Post, Req } from '@nestjs/common';
import { FLEET_TENANT, Id, Name, refText, TemplateSpec, TemplateStep, type VmTypeSpec, views } from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import { isMadeName, optionsQueryDecider, templateDecider, versionOf, type ExtraSteps } from '@chrysalis/migration-templates-core';
import {
  Allow,
  Commands,
  Doc,
  dryRunQuery,
  etag,
  ofTenant,
  parse,
  ProblemError,
  reaches,
  reachOf,
  SERVICE,
  type Answer,
  type ApiRequest,
  type Caller,
  type CommandContext,
  type ServiceContext,
} from '@chrysalis/service-kit';
import { z } from 'zod';
import { eventually } from '../known/eventually.ts';
import { knownType } from '../known/types.ts';
import { insertTemplate, markRetired, takeName, templatesThere, versionsOf } from '../sql/templates.ts';
import { specByOption } from './by-option.ts';
import { foldOf, historyOf } from './lookups.ts';

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
    const { name } = body;
    const spec = 'spec' in body ? body.spec : await this.#fromOption(request, body.fromOption, extra(body), ctx);
    const types = await this.#types(ctx.tx, spec);
    const tenant = await this.#take(name, ctx);
    const decided = await ctx.decide(`template-${name}`, templateDecider, { kind: 'publish', name, spec, types });
    if (!decided.ok) throw ProblemError.of(decided.rejection);
    const version = versionOf(decided.state, spec);
    await insertTemplate(ctx.tx, this.service.schema, { name, version, spec, at: ctx.now, tenant });
    return {
      status: 201,
      body: { name, version, ref: `${name}@${version}`, spec },
      headers: { location: `/v1/migration-templates/${name}/${version}`, ...etag(decided.version) },
    };
  }

  /** Types that provisioning has only just told of. */
  async #told(body: z.infer<typeof Publish>): Promise<void> {
    if (!('spec' in body)) return;
    const named = new Set([refText(body.spec.sourceType), refText(body.spec.options.targetType)]);
    await eventually(
      this.service.pool,
      (pool) => this.#types(pool, body.spec),
      (types) => types.size === named.size,
    );
  }

  @Delete('/v1/migration-templates/:name')
  @HttpCode(200)
  @Allow('operator')
  @Doc({
    summary: 'Retire a template: it takes no new migrations; what runs goes on',
    query: dryRunQuery,
    answers: { 200: views.Retired, 404: '`template.unknown`' },
  })
  retire(@Req() request: ApiRequest, @Param('name') name: string): Promise<Answer> {
    return this.commands.run(request, None, async (_, ctx) => {
      const [row] = await versionsOf(ctx.tx, this.service.schema, parse(Name, name), reachOf(ctx.caller));
      // The fleet's every tenant may use, and none may retire.
      if (!row || !reaches(ctx.caller, row.tenant)) throw await this.#unknown(ctx.tx, ctx.caller, name);
      const decided = await ofTenant(ctx, row.tenant).decide(`template-${name}`, templateDecider, { kind: 'retire', name });
      if (!decided.ok) throw ProblemError.of(decided.rejection);
      await markRetired(ctx.tx, this.service.schema, name);
      return { status: 200, body: { name, retired: true } };
    });
  }

  /** A name is its tenant's who publishes it first: a version by somebody else would be what `name` alone means from then on. */
  async #take(name: string, ctx: CommandContext): Promise<string> {
    const { tenant } = ctx.caller;
    if (isMadeName(name) && tenant !== FLEET_TENANT)
      throw ProblemError.of({
        code: 'template.name_reserved',
        name,
        message: `${name} is a name as the fleet makes them: take another name`,
      });
    const taken = await takeName(ctx.tx, this.service.schema, name, tenant);
    if (taken === tenant) return tenant;
    throw ProblemError.of({ code: 'template.name_taken', name, message: `${name} is a template of somebody else: take another name` });
  }

  /** Within a transaction on its own connection: who waits for a second one while holding a first may wait for ever. */
  async #unknown(db: Queryable, caller: Caller, name: string): Promise<ProblemError> {
    const known = await templatesThere(db, this.service.schema, name, reachOf(caller));
    return ProblemError.of({ code: 'template.unknown', template: name, known });
  }

  async #types(db: Queryable, spec: TemplateSpec): Promise<Map<string, VmTypeSpec>> {
    const { schema } = this.service;
    const found = [await knownType(db, schema, spec.sourceType), await knownType(db, schema, spec.options.targetType)];
    return new Map(found.flatMap((t) => (t ? [[refText(t.ref), t.spec] as const] : [])));
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
