import { Controller, Get, HttpCode, Inject, Param, Post, Query, Req } from '@nestjs/common';
import { DocumentFormat, Id, Name, TemplateSpec, Version, views } from '@chrysalis/contracts';
import { diffTemplates, judgeTemplate, plan, templateSections } from '@chrysalis/migration-templates-core';
import {
  Allow,
  Commands,
  Doc,
  dryRunQuery,
  parse,
  ProblemError,
  reachOf,
  SERVICE,
  type Answer,
  type ApiRequest,
  type CommandContext,
  type ServiceContext,
} from '@chrysalis/service-kit';
import { z } from 'zod';
import { guestsOf } from '../known/guests.ts';
import { knownHosts } from '../known/hosts.ts';
import { knownType } from '../known/types.ts';
import { inMove } from '../sql/moves.ts';
import { versionsOf } from '../sql/templates.ts';
import { MOST_CHARACTERS, readDocument, writeDocument } from './document.ts';
import { everyVm, vmsTold } from './lookups.ts';
import { publishSpec, seenVersion, typesTold, unknownTemplate } from './publishing.ts';

const Given = z.strictObject({ spec: z.unknown() });
const Documented = z.strictObject({ spec: TemplateSpec });
const Try = z.strictObject({ spec: TemplateSpec, vmIds: z.array(Id).min(1).max(1000) });
const Clone = z.strictObject({ as: Name, version: Version.optional() });
const Import = z.strictObject({ document: z.string().min(1).max(MOST_CHARACTERS), name: Name.optional() });
const number = z.coerce.number().pipe(Version);
const exportQuery = { format: DocumentFormat.describe('What it is written in, `yaml` where it is not said; either can be imported') };
const diffQuery = {
  with: z
    .string()
    .regex(/^[1-9][0-9]{0,8}$/)
    .describe('The version that it is compared with, the newest where it is not said: what leads from this one to that'),
};
const trial = 'Nothing is kept of it anyhow: it is a trial by itself';

/** What an editor of templates needs beside publishing. */
@Controller()
export class TemplateEditorController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Commands) private readonly commands: Commands,
  ) {}

  @Post('/v1/migration-templates/validate')
  @HttpCode(200)
  @Allow('viewer')
  @Doc({
    summary: 'What publishing a spec would find wrong: every finding at its place, also where its outline is none. Nothing is kept',
    body: Documented,
    noDryRun: trial,
    answers: { 200: views.TemplateJudged },
  })
  async validate(@Req() request: ApiRequest): Promise<z.infer<typeof views.TemplateJudged>> {
    const { spec: given } = parse(Given, request.body ?? {});
    const types = await typesTold(this.service, given);
    const { spec, findings } = judgeTemplate(given, (ref) => types.get(ref));
    const outline = spec && {
      steps: Object.fromEntries(templateSections.map((s) => [s, spec[s].length])),
      morph: spec.migration.length === 0,
    };
    return { valid: findings.length === 0, findings: findings.map((f) => ({ ...f })), ...outline };
  }

  @Post('/v1/migration-templates/try')
  @HttpCode(200)
  @Allow('operator')
  @Doc({
    summary: 'What a plan by a spec would be for these VMs, with every step and every blocker. Neither a template nor a plan is kept',
    body: Try,
    noDryRun: trial,
    answers: { 200: views.TemplateTried, 422: '`template.invalid`, with every fault; `vm.unknown`' },
  })
  async try(@Req() request: ApiRequest): Promise<object> {
    const { spec, vmIds: asked } = parse(Try, request.body ?? {});
    const { service } = this;
    const { caller } = request;
    const vmIds = [...new Set(asked)];
    const types = await typesTold(service, spec);
    const { findings } = judgeTemplate((request.body as { spec?: unknown }).spec, (ref) => types.get(ref));
    if (findings.length > 0) throw ProblemError.of({ code: 'template.invalid', faults: findings, message: findings.map((f) => `${f.path}: ${f.message}`).join('; ').slice(0, 2000) }); // prettier-ignore
    await vmsTold(service, vmIds, caller.tenant);
    return service.store.transaction(async (tx) => {
      const { schema } = service;
      const target = await knownType(tx, schema, spec.options.targetType);
      const vms = await everyVm(tx, schema, vmIds, caller.tenant);
      const busy = new Map((await inMove(tx, schema, vmIds)).map((m) => [m.vmId, m.moveId]));
      const { moves, at } = plan({
        planId: 'plan-tried',
        at: service.clock(),
        template: { ref: { name: 'tried', version: 1 }, spec, retired: false },
        target: target!, // it was judged with it
        vms: vms.map((vm) => (busy.has(vm.vmId) ? { ...vm, moveId: busy.get(vm.vmId)! } : vm)),
        hosts: await knownHosts(tx, schema),
        guests: await guestsOf(tx, schema, vmIds),
      });
      return { ready: moves.every((m) => m.blockers.length === 0), moves, at };
    });
  }

  @Post('/v1/migration-templates/import')
  @HttpCode(201)
  @Allow('operator')
  @Doc({
    summary: `Publish a version from a document, YAML or JSON, as an export writes them; the same again is the same version. At most ${MOST_CHARACTERS} characters, without aliases`,
    body: Import,
    query: dryRunQuery,
    answers: {
      201: views.TemplatePublished,
      409: '`template.retired`, `template.name_taken`',
      422: '`template.document_invalid`, with line and column; `template.invalid`, with every fault',
    },
  })
  async import(@Req() request: ApiRequest): Promise<Answer> {
    const { document, name } = parse(Import, request.body ?? {});
    const read = readDocument(document);
    return this.commands.run(request, Import, (_, ctx) => publishSpec(ctx, name ?? read.name, read.spec), () => typesTold(this.service, read.spec)); // prettier-ignore
  }

  @Post('/v1/migration-templates/:name/clone')
  @HttpCode(201)
  @Allow('operator')
  @Doc({
    summary: 'Publish a version of a template under a name that there is not yet; of one that is retired as well',
    body: Clone,
    query: dryRunQuery,
    answers: {
      201: views.TemplatePublished,
      404: '`template.unknown`',
      409: '`template.name_taken`',
      422: '`template.invalid`: its types changed since',
    },
  })
  clone(@Req() request: ApiRequest, @Param('name') name: string): Promise<Answer> {
    return this.commands.run(request, Clone, async ({ as, version }, ctx) => {
      const { spec } = await seenVersion(ctx.tx, this.service.schema, ctx.caller, parse(Name, name), version);
      await this.#assertFree(as, ctx);
      return publishSpec(ctx, as, spec);
    });
  }

  async #assertFree(name: string, ctx: CommandContext): Promise<void> {
    const there = await versionsOf(ctx.tx, this.service.schema, name, reachOf(ctx.caller));
    if (there.length > 0)
      throw ProblemError.of({
        code: 'template.name_taken',
        name,
        message: `there is a template ${name}: take another name, or change that one`,
      });
  }

  @Get('/v1/migration-templates/:name/versions')
  @Allow('viewer')
  @Doc({
    summary: 'The versions of a template, the newest first',
    answers: { 200: z.object({ items: z.array(views.TemplateVersion) }), 404: '`template.unknown`' },
  })
  async versions(@Req() request: ApiRequest, @Param('name') given: string): Promise<object> {
    const { pool, schema } = this.service;
    const name = parse(Name, given);
    const rows = await versionsOf(pool, schema, name, reachOf(request.caller));
    if (rows.length === 0) throw await unknownTemplate(pool, schema, request.caller, name);
    return {
      items: rows.map(({ version, at, retired }) => ({ name, version, ref: `${name}@${version}`, publishedAt: at.toISOString(), retired })),
    };
  }

  @Get('/v1/migration-templates/:name/:version/export')
  @Allow('viewer')
  @Doc({
    summary: 'A version as a document, YAML or JSON, that can be imported',
    query: exportQuery,
    answers: { 200: views.TemplateExport, 404: '`template.unknown`' },
  })
  async export(
    @Req() request: ApiRequest,
    @Param('name') name: string,
    @Param('version') version: string,
    @Query() query: object,
  ): Promise<object> {
    const { format = 'yaml' } = parse(z.object(exportQuery).partial(), query);
    const row = await this.#seen(request, name, version);
    const document = writeDocument({ kind: 'migration-template', schema: 1, name: row.name, spec: row.spec }, format);
    return { name: row.name, version: row.version, format, document };
  }

  @Get('/v1/migration-templates/:name/:version/diff')
  @Allow('viewer')
  @Doc({
    summary:
      'What leads from this version to another: options, and steps that were added, removed, changed or reordered, by section and name',
    query: diffQuery,
    answers: { 200: views.TemplateDiff, 404: '`template.unknown`' },
  })
  async diff(
    @Req() request: ApiRequest,
    @Param('name') name: string,
    @Param('version') version: string,
    @Query() query: object,
  ): Promise<object> {
    const from = await this.#seen(request, name, version);
    const to = await this.#seen(request, name, parse(z.object(diffQuery).partial(), query).with);
    const found = diffTemplates(from.spec, to.spec);
    return { name: from.name, from: from.version, to: to.version, same: found.options.length + found.steps.length === 0, ...found };
  }

  #seen({ caller }: ApiRequest, name: string, version?: string) {
    const { pool, schema } = this.service;
    return seenVersion(pool, schema, caller, parse(Name, name), version === undefined ? undefined : parse(number, version));
  }
}
