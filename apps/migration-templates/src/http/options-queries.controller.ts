import { Controller, HttpCode, Inject, Post, Req } from '@nestjs/common';
import { Id } from '@chrysalis/contracts';
import { compileQuery, optionsQueryDecider, type KnownVm } from '@chrysalis/migration-templates-core';
import {
  accepted,
  Allow,
  Commands,
  Doc,
  dryRunQuery,
  ProblemError,
  SERVICE,
  type Answer,
  type ApiRequest,
  type Caller,
  type CommandContext,
  type ServiceContext,
} from '@chrysalis/service-kit';
import type pg from 'pg';
import { z } from 'zod';
import { workOut } from '../tasks.ts';
import { everyVm, grantTold, movesUnderWay, usableGrant, vmsTold } from './lookups.ts';

/** `operation` where agents have to look first. */
const Asked = z.object({ queryId: Id, state: z.enum(['answered', 'asked']), operation: Id.optional() });
const Ask = z.strictObject({ vmIds: z.array(Id).min(1).max(100), grantId: Id.optional() });

@Controller()
export class OptionsQueriesController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Commands) private readonly commands: Commands,
  ) {}

  @Post('/v1/migration-options-queries')
  @HttpCode(202)
  @Allow('operator')
  @Doc({
    summary: 'To which types, with which options, can these VMs go? Without a grant answered at once, from failsafe defaults',
    body: Ask,
    query: dryRunQuery,
    answers: {
      202: Asked,
      403: '`grant.expired`, `grant.vm_not_named`, `grant.revoked`',
      422: '`vm.unknown`, `grant.unknown`',
      409: '`vm.in_move`',
    },
  })
  ask(@Req() request: ApiRequest): Promise<Answer> {
    return this.commands.run(
      request,
      Ask,
      (body, ctx) => this.#ask(body, ctx),
      (body, caller) => this.#told(body, caller),
    );
  }

  async #ask({ vmIds: asked, grantId }: z.infer<typeof Ask>, ctx: CommandContext) {
    const vmIds = [...new Set(asked)];
    const { tenant } = ctx.caller;
    const vms = await everyVm(ctx.tx, this.service.schema, vmIds, tenant);
    const queryId = ctx.newId('qry');
    const stream = `options-query-${queryId}`;
    if (grantId === undefined) {
      await ctx.decide(stream, optionsQueryDecider, { kind: 'ask', queryId, vmIds });
      await ctx.decide(stream, optionsQueryDecider, { kind: 'answer', queryId, answer: await workOut(ctx, vmIds, tenant, false) });
      return {
        status: 202,
        body: { queryId, state: 'answered' },
        headers: { location: `/v1/migration-options-queries/${queryId}` },
      };
    }
    const grant = await usableGrant(ctx, grantId, vmIds);
    await this.#free(ctx.tx, vms);
    const { definition, params } = compileQuery({
      queryId,
      vms,
      grant: { jws: grant.jws, package: grant.claims.packages[0]! },
      at: ctx.now,
    });
    await ctx.decide(stream, optionsQueryDecider, {
      kind: 'ask',
      queryId,
      vmIds,
      grantId,
      request: { workflowId: queryId, definition, params, subject: queryId },
    });
    return accepted({ queryId, operation: queryId, state: 'asked' });
  }

  async #told({ vmIds, grantId }: z.infer<typeof Ask>, { tenant }: Caller): Promise<void> {
    await vmsTold(this.service, vmIds, tenant);
    if (grantId !== undefined) await grantTold(this.service, grantId, tenant);
  }

  /** An agent's disk is a hot-plug, which a VM in a move must not get. */
  async #free(tx: pg.PoolClient, vms: readonly KnownVm[]): Promise<void> {
    const busy = await movesUnderWay(tx, this.service.schema, vms.map((vm) => vm.vmId), vms); // prettier-ignore
    if (busy.length > 0) throw ProblemError.of({ code: 'vm.in_move', ...busy[0]!, moves: busy });
  }
}
