import { Controller, Get, Inject, Param, Query as QueryParams, Req } from '@nestjs/common';
import { views, windowsAt, type SetPolicy } from '@chrysalis/contracts';
import { Allow, Doc, type Answer, type ApiRequest } from '@chrysalis/service-kit';
import { oneAnswer } from '../reads/answer.ts';
import { againOf, movesOf } from '../reads/moves.ts';
import { ReadModels, type Page, type Query } from '../reads/read-models.ts';
import { models } from '../reads/tables.ts';
import { listDoc, oneDoc, oneOf } from './docs.ts';
import { newest, pick } from './fleet.ts';

@Controller()
export class MigrationsController {
  constructor(@Inject(ReadModels) private readonly reads: ReadModels) {}

  @Get('/v1/migration-templates')
  @Allow('viewer')
  @Doc(listDoc('Migration templates, each with its newest version', views.Template))
  async templates(@QueryParams() query: Query, @Req() request: ApiRequest): Promise<Page> {
    const page = newest(await this.reads.list(models.templates, query, request.caller));
    return { ...page, items: page.items.filter((t) => Number(t['latest']) > 0) }; // the others were deleted
  }

  @Get('/v1/migration-templates/:name')
  @Allow('viewer')
  @Doc(oneDoc('The newest version of a migration template', views.Template))
  newestTemplate(@Param('name') name: string, @Req() request: ApiRequest): Promise<Answer> {
    return this.template(name, request);
  }

  @Get('/v1/migration-templates/:name/:version')
  @Allow('viewer')
  @Doc(oneDoc('A version of a migration template', views.Template))
  async template(@Param('name') name: string, @Req() request: ApiRequest, @Param('version') version?: string): Promise<Answer> {
    return oneAnswer(request, ...pick(await this.reads.one(models.templates, name, request.caller), 'template.unknown', version));
  }

  @Get('/v1/migration-options-queries/:id')
  @Allow('viewer')
  @Doc(oneDoc('An options query; with `options` and `refused` once it is answered', views.OptionsQuery))
  async options(@Param('id') id: string, @Req() request: ApiRequest): Promise<Answer> {
    return oneAnswer(request, await this.reads.one(models.optionsQueries, id, request.caller));
  }

  @Get('/v1/migration-plans/:id')
  @Allow('viewer')
  @Doc(oneDoc('A plan: every step of every move, and every blocker', views.Plan))
  async plan(@Param('id') id: string, @Req() request: ApiRequest): Promise<Answer> {
    return oneAnswer(request, await this.reads.one(models.plans, id, request.caller));
  }

  @Get('/v1/migrations')
  @Allow('viewer')
  @Doc(listDoc('Migrations', views.MigrationSummary, { state: oneOf(views.migrationStates, 'Only in this state') }))
  migrations(@QueryParams() query: Query, @Req() request: ApiRequest): Promise<Page> {
    return this.reads.list(models.migrations, query, request.caller);
  }

  @Get('/v1/migrations/:id')
  @Allow('viewer')
  @Doc(oneDoc('A migration with its moves, and of each move every step with its state', views.MigrationInFull))
  async migration(@Param('id') id: string, @Req() request: ApiRequest): Promise<Answer> {
    const migration = await this.reads.one(models.migrations, id, request.caller);
    const [moves, again] = await Promise.all([movesOf(this.reads, id), againOf(this.reads, id)]);
    const version = [...moves, ...again].reduce((sum, m) => sum + m.version, migration.version);
    const begun = new Set(moves.map((m) => m['vmId']));
    const more = {
      moves: moves.map(({ version: _, ...m }) => m),
      notBegun: (migration['vmIds'] as readonly string[]).filter((vmId) => !begun.has(vmId)),
      ...windowOf(migration),
      again: again.map(({ version: _, ...m }) => m),
    };
    return oneAnswer(request, { ...migration, version }, { ...migration, ...more });
  }

  @Get('/v1/moves')
  @Allow('viewer')
  @Doc(
    listDoc('Moves: each VM’s part in a migration', views.Move, {
      migration: 'Only of this migration',
      vm: 'Only of this VM',
      state: oneOf(['running', 'succeeded', 'undone', 'failed'], 'Only in this state'),
    }),
  )
  moves(@QueryParams() query: Query, @Req() request: ApiRequest): Promise<Page> {
    return this.reads.list(models.moves, query, request.caller);
  }
}

/** By the clock of whoever answers: of one that has ended there is none. */
const windowOf = ({ policy, endedAt }: Readonly<Record<string, unknown>>) => {
  const { windows } = (policy ?? {}) as SetPolicy;
  return windows === undefined || endedAt !== undefined ? {} : { window: windowsAt(windows, new Date().toISOString()) };
};
