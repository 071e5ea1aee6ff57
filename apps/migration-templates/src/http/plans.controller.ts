import { Controller, HttpCode, Inject, Post, Req } from '@nestjs/common';
import { Id, migrationTemplatesEvents, Name, parseRef, refText, SetRun, type Plan, views, VmSelection } from '@chrysalis/contracts';
import { deadlineOf, plan, selected, setFault } from '@chrysalis/migration-templates-core';
import {
  Allow,
  Commands,
  Doc,
  dryRunQuery,
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
import { vmsLabelled } from '../known/vms.ts';
import { inMove } from '../sql/moves.ts';
import { templatesThere, versionsOf, type TemplateRow } from '../sql/templates.ts';
import { ByOption, oneWay, templateByOption } from './by-option.ts';
import { retryOf, undoOf, type Wanted } from './again.ts';
import { everyVm, vmsTold } from './lookups.ts';

/** `grow@2`, or `grow` for its newest version. */
const TemplateText = z.string().refine((t) => parseRef(t) !== undefined || Name.safeParse(t).success, 'name@version, or a name');
const MOST_VMS = 1_000;
const vmIds = z.array(Id).min(1).max(MOST_VMS).optional();
const select = VmSelection.optional().describe('in place of `vmIds`: those that are so now');
const eitherWho = [
  (b: { vmIds?: unknown; select?: unknown }): boolean => (b.vmIds === undefined) !== (b.select === undefined),
  'either `vmIds` or `select`',
] as const;
const run = SetRun.optional().describe('how it is to be run: checked here, and what it is run by unless its start says something else');
const MakePlan = z.union([
  z.strictObject({ template: TemplateText, vmIds, select, run }).refine(...eitherWho),
  z
    .strictObject({ ...ByOption.shape, vmIds, select, run })
    .refine(...oneWay)
    .refine(...eitherWho),
  z.strictObject({
    retryOf: Id.describe('a migration that has ended: its template, for those of its VMs that it has not moved'),
    run,
  }),
  z.strictObject({
    undoOf: Id.describe('a migration that has ended: those that it moved go back, to the host and the type they had'),
    run,
  }),
]);

/** So many are looked at for one expression. */
const MOST_FILTERED = 5_000;

const selectedVms = async ({ tx, store, caller }: CommandContext, select: VmSelection): Promise<readonly string[]> => {
  const most = select.filter === undefined ? MOST_VMS : MOST_FILTERED;
  const labelled = await vmsLabelled(tx, store.schema, caller.tenant, select.labels ?? {}, most + 1);
  const found = selected(labelled, select);
  if (!found.ok) throw ProblemError.of(found.fault);
  if (labelled.length > most || found.vmIds.length > MOST_VMS)
    throw ProblemError.of({ code: 'plan.too_many_selected', most: labelled.length > most ? most : MOST_VMS });
  if (found.vmIds.length === 0) throw ProblemError.of({ code: 'plan.nothing_selected', ...select });
  return found.vmIds;
};

const planView = (p: Plan) => ({ ...p, ready: p.moves.every((m) => m.blockers.length === 0) });

@Controller()
export class PlansController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Commands) private readonly commands: Commands,
  ) {}

  @Post('/v1/migration-plans')
  @HttpCode(201)
  @Allow('operator')
  @Doc({
    summary:
      'A migration in full, with every blocker at once, by a template or the first option that leads `to` a type; touches nothing. Where no ' +
      'host fits, each reason comes with five hosts that have it and with how many more do',
    body: MakePlan,
    query: dryRunQuery,
    answers: {
      201: views.PlanMade,
      404: '`migration.unknown`',
      422: '`template.unknown`, `vm.unknown`, `migration.order_unknown`, `migration.order_cyclic`, `migration.windows_past`, `plan.filter_invalid`, `plan.nothing_selected`, `plan.too_many_selected`',
      409: '`option.refused`: with the options that were refused; `migration.running`, `migration.nothing_left`',
    },
  })
  make(@Req() request: ApiRequest): Promise<Answer> {
    return this.commands.run(
      request,
      MakePlan,
      (body, ctx) => this.#make(body, ctx),
      async (body, { tenant }) => ('vmIds' in body && body.vmIds ? vmsTold(this.service, body.vmIds, tenant) : undefined),
    );
  }

  async #make(body: z.infer<typeof MakePlan>, ctx: CommandContext) {
    const { schema } = this.service;
    const { vmIds, row, ...more } = await this.#wanted(body, ctx);
    const target = await knownType(ctx.tx, schema, row.spec.options.targetType);
    if (!target) throw ProblemError.ofMember({ code: 'vm-type.unknown', vmType: refText(row.spec.options.targetType) });
    const vms = await everyVm(ctx.tx, schema, vmIds, ctx.caller.tenant);
    const fault = setFault(vmIds, body.run?.policy, { now: ctx.now, deadlineAt: deadlineOf(body.run ?? {}, ctx.now) });
    if (fault) throw ProblemError.of(fault);
    const busy = new Map((await inMove(ctx.tx, schema, vmIds)).map((m) => [m.vmId, m.moveId]));
    const made = plan({
      planId: ctx.newId('plan'),
      at: ctx.now,
      template: { ref: { name: row.name, version: row.version }, spec: row.spec, retired: row.retired },
      target,
      vms: vms.map((vm) => (busy.has(vm.vmId) ? { ...vm, moveId: busy.get(vm.vmId)! } : vm)),
      hosts: await knownHosts(ctx.tx, schema),
      guests: await guestsOf(ctx.tx, schema, vmIds),
      toHosts: more.toHosts,
      run: body.run,
    });
    const kept: Plan = {
      ...made,
      ...(more.of ? { of: more.of } : {}),
      ...('select' in body && body.select ? { select: body.select } : {}),
    };
    await ctx.append(`plan-${made.planId}`, 'noStream', { type: migrationTemplatesEvents.planMade.type, data: { plan: kept } });
    return { status: 201, body: planView(kept), headers: { location: `/v1/migration-plans/${made.planId}` } };
  }

  async #wanted(body: z.infer<typeof MakePlan>, ctx: CommandContext): Promise<Wanted> {
    if ('retryOf' in body) return retryOf(ctx, body.retryOf);
    if ('undoOf' in body) return undoOf(ctx, body.undoOf);
    const vmIds = body.select ? await selectedVms(ctx, body.select) : [...new Set(body.vmIds)];
    return { vmIds, row: 'template' in body ? await this.#template(ctx, body.template) : await templateByOption(ctx, body, vmIds) };
  }

  async #template({ tx, caller }: CommandContext, text: string): Promise<TemplateRow> {
    const ref = parseRef(text);
    const rows = await versionsOf(tx, this.service.schema, ref?.name ?? text, reachOf(caller));
    const row = ref ? rows.find((r) => r.version === ref.version) : rows[0];
    if (!row)
      throw ProblemError.ofMember({
        code: 'template.unknown',
        template: text,
        known: await templatesThere(tx, this.service.schema, ref?.name ?? text, reachOf(caller)),
      });
    return row;
  }
}
