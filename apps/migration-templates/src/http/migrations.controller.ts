import { Controller, HttpCode, Inject, Param, Post, Req } from '@nestjs/common';
import { Id, PauseThen, Positive, SetRun, views, type Plan } from '@chrysalis/contracts';
import {
  blockersNow,
  byId,
  deadlineOf,
  migrationDecider,
  outdated,
  type CancelMigration,
  type PauseSet,
} from '@chrysalis/migration-templates-core';
import {
  Allow,
  Commands,
  Doc,
  dryRunQuery,
  ofTenant,
  ProblemError,
  reaches,
  SERVICE,
  type Answer,
  type ApiRequest,
  type CommandContext,
  type MessageContext,
  type ServiceContext,
} from '@chrysalis/service-kit';
import { z } from 'zod';
import { judgeApproval } from '../approvals/approvals.ts';
import { beginMigration } from '../moves/begin-migration.ts';
import { knownHosts } from '../known/hosts.ts';
import { knownType } from '../known/types.ts';
import { knownVms } from '../known/vms.ts';
import { followUp, setOn } from '../moves/set-on.ts';
import { knownSet } from '../moves/set-state.ts';
import { tenantOfMigration } from '../sql/migrations.ts';
import { everVersion, keepName, versionsOf } from '../sql/templates.ts';
import { historyOf, movesUnderWay } from './lookups.ts';

const DAY_MS = 86_400_000;
const Run = z.strictObject({ planId: Id, ...SetRun.shape });
const PauseBody = z.strictObject({
  reason: z.string().min(1).max(255).default('asked to'),
  forMs: Positive.max(30 * DAY_MS)
    .default(DAY_MS)
    .describe('after so long, where nobody resumed it, comes what `then` says'),
  then: PauseThen.default('cancel'),
  replace: z.boolean().default(false).describe('in place of the pause that there is'),
});
const Resume = z.strictObject({});
const Word = z.strictObject({
  vmId: Id.optional().describe('the move of this VM alone; absent: every move that waits now'),
  reason: z.string().min(1).max(255).optional(),
});
const Cancel = z.strictObject({ reason: z.string().min(1).max(255).default('asked to') });

/** What an approval's answer is told by and answered with, whichever it is. */
const judging = {
  body: Word,
  query: dryRunQuery,
  answers: {
    202: views.MigrationAccepted,
    404: '`migration.unknown`',
    409: '`migration.ended`, `migration.approval_not_asked`, `migration.approval_settled`',
  },
};

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
    summary: 'Run a plan, if all that it was made from still holds; as the plan says where nothing else is said here',
    body: Run,
    query: dryRunQuery,
    answers: {
      202: views.MigrationAccepted,
      422: '`plan.unknown`, `migration.order_unknown`, `migration.order_cyclic`, `migration.windows_past`',
      409: '`plan.blocked`, `plan.outdated`, `vm.in_move`',
    },
  })
  run(@Req() request: ApiRequest): Promise<Answer> {
    return this.commands.run(request, Run, async ({ planId, ...said }, ctx) => {
      const [made] = await historyOf(
        this.service.store,
        `plan-${planId}`,
        request,
        () => ProblemError.ofMember({ code: 'plan.unknown', planId }),
        ctx.tx,
      );
      const { plan } = made!.data as { plan: Plan };
      await this.#mayRun(plan, ctx);
      const how = { ...plan.run, ...said };
      const { concurrency = 1, policy } = how;
      const begun = await beginMigration(ctx, plan, { concurrency, policy, deadlineAt: deadlineOf(how, ctx.now) }, ctx.caller.tenant);
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
      const own = await this.#own(request, migrationId, ctx);
      return this.#told(migrationId, { kind: 'cancel', migrationId, reason }, own);
    });
  }

  @Post('/v1/migrations/:id/pause')
  @HttpCode(202)
  @Allow('operator')
  @Doc({
    summary:
      'Begin no further move until it is resumed; what runs goes on to its end. Who paused it before is asked over by `replace` alone',
    body: PauseBody,
    query: dryRunQuery,
    answers: {
      202: views.MigrationAccepted,
      404: '`migration.unknown`',
      409: '`migration.ended`, `migration.cancelling`, `migration.paused`',
    },
  })
  pause(@Req() request: ApiRequest, @Param('id') migrationId: string): Promise<Answer> {
    return this.commands.run(request, PauseBody, async ({ reason, forMs, then, replace }, ctx) => {
      const own = await this.#own(request, migrationId, ctx);
      const until = after(ctx.now, forMs);
      return this.#told(migrationId, { kind: 'pause', migrationId, reason, until, then, by: ctx.meta.actor, replace }, own);
    });
  }

  @Post('/v1/migrations/:id/resume')
  @HttpCode(202)
  @Allow('operator')
  @Doc({
    summary: 'Go on with a migration that is paused; one that is not goes on as it does',
    body: Resume,
    query: dryRunQuery,
    answers: { 202: views.MigrationAccepted, 404: '`migration.unknown`', 409: '`migration.ended`' },
  })
  resume(@Req() request: ApiRequest, @Param('id') migrationId: string): Promise<Answer> {
    return this.commands.run(request, Resume, async (_, ctx) => {
      const own = await this.#own(request, migrationId, ctx);
      const decided = await setOn(own, migrationId, { kind: 'resume', migrationId, by: ctx.meta.actor }, own.meta.tenant);
      if (!decided.ok) throw ProblemError.of(decided.rejection);
      return { status: 202, body: { migrationId, operation: migrationId } };
    });
  }

  @Post('/v1/migrations/:id/approve')
  @HttpCode(202)
  @Allow('operator')
  @Doc({ summary: 'Approve of the switch-over of the moves that wait for it; the same word again is no news', ...judging })
  approve(@Req() request: ApiRequest, @Param('id') migrationId: string): Promise<Answer> {
    return this.#judged(request, migrationId, 'approved');
  }

  @Post('/v1/migrations/:id/reject')
  @HttpCode(202)
  @Allow('operator')
  @Doc({
    summary: 'Reject the switch-over of the moves that wait for an approval: each is undone, and its VM runs on where it was',
    ...judging,
  })
  reject(@Req() request: ApiRequest, @Param('id') migrationId: string): Promise<Answer> {
    return this.#judged(request, migrationId, 'rejected');
  }

  #judged(request: ApiRequest, migrationId: string, verdict: 'approved' | 'rejected'): Promise<Answer> {
    return this.commands.run(request, Word, async (word, ctx) => {
      const own = await this.#own(request, migrationId, ctx);
      const decided = await judgeApproval(own, { migrationId, verdict, by: own.meta.actor, ...word });
      if (!decided.ok) throw ProblemError.of(decided.rejection);
      return { status: 202, body: { migrationId, operation: migrationId } };
    });
  }

  /** In the name of its tenant, for whom it may be that the fleet's operator asks; unknown to whoever does not reach it. */
  async #own(request: ApiRequest, migrationId: string, ctx: CommandContext): Promise<MessageContext> {
    const tenant = await tenantOfMigration(ctx.tx, this.service.schema, migrationId);
    if (tenant === undefined || !reaches(request.caller, tenant)) throw ProblemError.of({ code: 'migration.unknown', migrationId });
    return ofTenant(ctx, tenant);
  }

  async #told(migrationId: string, command: CancelMigration | PauseSet, ctx: MessageContext) {
    const known = await knownSet(ctx, migrationId);
    const decided = await ctx.decide(`migration-${migrationId}`, migrationDecider, command, { known });
    if (!decided.ok) throw ProblemError.of(decided.rejection);
    await followUp(ctx, migrationId, decided);
    return { status: 202, body: { migrationId, operation: migrationId } };
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

const after = (now: string, ms: number): string => new Date(Date.parse(now) + ms).toISOString();
const inMove = (vmIds: readonly string[]) => ({ code: 'vm.in_move' as const, ...(vmIds[0] !== undefined && { vmId: vmIds[0] }), vmIds });
