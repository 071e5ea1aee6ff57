import { Controller, HttpCode, Inject, Param, Post, Req } from '@nestjs/common';
import { Id, Positive, views, type Plan } from '@chrysalis/contracts';
import { byId, migrationDecider, blockersNow, outdated } from '@chrysalis/migration-templates-core';
import {
  Allow,
  Commands,
  Doc,
  dryRunQuery,
  ofTenant,
  ProblemError,
  SERVICE,
  type Answer,
  type ApiRequest,
  type CommandContext,
  type ServiceContext,
} from '@chrysalis/service-kit';
import { z } from 'zod';
import { beginMigration } from '../moves/begin-migration.ts';
import { knownHosts } from '../known/hosts.ts';
import { knownType } from '../known/types.ts';
import { knownVms } from '../known/vms.ts';
import { everVersion, keepName, versionsOf } from '../sql/templates.ts';
import { historyOf, movesUnderWay } from './lookups.ts';

const Run = z.strictObject({ planId: Id, concurrency: Positive.max(100).default(1) });
const Cancel = z.strictObject({ reason: z.string().min(1).max(255).default('asked to') });

@Controller()
export class MigrationsController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Commands) private readonly commands: Commands,
  ) {}

  @Post('/v1/migrations')
  @HttpCode(202)
  @Allow('operator')
  @Doc({
    summary: 'Run a plan, if all that it was made from still holds',
    body: Run,
    query: dryRunQuery,
    answers: { 202: views.MigrationAccepted, 422: '`plan.unknown`', 409: '`plan.blocked`, `plan.outdated`, `vm.in_move`' },
  })
  run(@Req() request: ApiRequest): Promise<Answer> {
    return this.commands.run(request, Run, async ({ planId, concurrency }, ctx) => {
      const [made] = await historyOf(
        this.service.store,
        `plan-${planId}`,
        request,
        () => ProblemError.ofMember({ code: 'plan.unknown', planId }),
        ctx.tx,
      );
      const { plan } = made!.data as { plan: Plan };
      await this.#mayRun(plan, ctx);
      const begun = await beginMigration(ctx, plan, concurrency, ctx.caller.tenant);
      if (!begun.ok) throw ProblemError.of('late' in begun ? inMove(begun.late) : begun.rejection);
      const { migrationId } = begun;
      return { status: 202, body: { migrationId, operation: migrationId }, headers: { location: `/v1/migrations/${migrationId}` } };
    });
  }

  @Post('/v1/migrations/:id/cancel')
  @HttpCode(202)
  @Allow('operator')
  @Doc({
    summary: 'Begin no further move, and undo those that run while they can be',
    body: Cancel,
    query: dryRunQuery,
    answers: { 202: views.MigrationAccepted, 404: '`migration.unknown`', 409: '`migration.ended`' },
  })
  cancel(@Req() request: ApiRequest, @Param('id') migrationId: string): Promise<Answer> {
    return this.commands.run(request, Cancel, async ({ reason }, ctx) => {
      const [made] = await historyOf(
        this.service.store,
        `migration-${migrationId}`,
        request,
        () => ProblemError.of({ code: 'migration.unknown', migrationId }),
        ctx.tx,
      );
      const decided = await ofTenant(ctx, made!.meta.tenant).decide(`migration-${migrationId}`, migrationDecider, {
        kind: 'cancel',
        migrationId,
        reason,
      });
      if (!decided.ok) throw ProblemError.of(decided.rejection);
      return { status: 202, body: { migrationId, operation: migrationId } };
    });
  }

  /** In the order of what helps most: another move, what was blocked from the start, what changed since. */
  async #mayRun(plan: Plan, ctx: CommandContext): Promise<void> {
    const { schema } = this.service;
    const vmIds = plan.moves.map((m) => m.vmId);
    const vms = new Map((await knownVms(ctx.tx, schema, vmIds, ctx.caller.tenant)).map((vm) => [vm.vmId, vm]));
    const busy = await movesUnderWay(ctx.tx, schema, vmIds, vms.values());
    if (busy.length > 0)
      throw ProblemError.of({ code: 'vm.in_move', ...busy[0]!, moves: busy, message: `${busy[0]!.vmId} is in ${busy[0]!.moveId}` });
    const { name, version } = plan.basis.template;
    await keepName(ctx.tx, schema, name);
    const rows = await versionsOf(ctx.tx, schema, name, undefined);
    const template = (await everVersion(ctx.tx, schema, name, version))?.spec;
    const target = template && (await knownType(ctx.tx, schema, template.options.targetType));
    if (!template || !target) throw new Error(`${name}@${version}, from which ${plan.planId} was made, or its type is not known`);
    const blockers = blockersNow({ moves: plan.moves, template, target }, vms, byId(await knownHosts(ctx.tx, schema)));
    if (blockers.length > 0)
      throw ProblemError.of({
        code: 'plan.blocked',
        planId: plan.planId,
        blockers,
        message: blockers
          .map((b) => b.message)
          .join('; ')
          .slice(0, 2000),
      });
    const changed = outdated(plan, vms, { latest: rows[0]?.version ?? 0, retired: rows[0]?.retired ?? false });
    if (changed.length > 0)
      throw ProblemError.of({
        code: 'plan.outdated',
        changed,
        message: changed
          .map((c) => `${c.what}: planned at ${c.planned}, now ${c.now}`)
          .join('; ')
          .slice(0, 2000),
      });
  }
}

const inMove = (vmIds: readonly string[]) => ({ code: 'vm.in_move' as const, ...(vmIds[0] !== undefined && { vmId: vmIds[0] }), vmIds });
