import { Controller, HttpCode, Inject, Param, Post, Req } from '@nestjs/common';
import { Count, FLEET_TENANT, Name, views } from '@chrysalis/contracts';
import { Allow, Commands, Doc, dryRunQuery, parse, ProblemError, SERVICE, type Answer, type ApiRequest, type CommandContext, type ServiceContext } from '@chrysalis/service-kit'; // prettier-ignore
import { z } from 'zod';
import { standingOf } from '../executors/sql.ts';
import { submitRequest } from '../queue/submit.ts';
import { refused } from './start.controller.ts';

const TEMPLATE = 'audit-host';
const DAY_MS = 86_400_000;
/** `minAgeMs`: what is younger is told as busy, and never removed. */
const Audit = z.strictObject({ remove: z.boolean().default(false), minAgeMs: Count.max(DAY_MS).optional() });

/** The fleet's, whatever tenant its operator's token names: what is on a host is of all tenants. */
@Controller()
export class AuditController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Commands) private readonly commands: Commands,
  ) {}

  @Post('/v1/hosts/:id/audit')
  @HttpCode(202)
  @Allow('operator')
  @Doc({
    summary: 'Look what a host has of VMs and is not to have, and what it has not and is to; with `remove`, take the first away',
    body: Audit,
    query: dryRunQuery,
    answers: { 202: views.AuditStarted, 404: '`host.unknown`', 409: '`host.agent_away`, `workflow.template_retired`' },
  })
  start(@Req() request: ApiRequest, @Param('id') id: string): Promise<Answer> {
    const hostId = parse(Name, id);
    return this.commands.run(request, Audit, async ({ remove, minAgeMs }, ctx) => {
      await this.#assertThere(ctx, hostId);
      const workflowId = ctx.newId('op');
      const params = { hostId, remove, ...(minAgeMs === undefined ? {} : { minAgeMs }) };
      const submitted = await submitRequest(this.service, ctx.tx, {
        ...{ workflowId, template: TEMPLATE, params, subject: hostId, tenant: FLEET_TENANT, meta: ctx.meta },
        key: ctx.idempotencyKey,
      });
      if (!submitted.ok) throw refused(submitted.rejection);
      return {
        status: 202,
        body: { workflowId, operation: workflowId, hostId, remove },
        headers: { location: `/v1/workflows/${workflowId}` },
      };
    });
  }

  /** Nobody but its agent can look: where that is away the audit would wait, with nothing to say. One that goes a moment later is waited for. */
  async #assertThere({ tx }: CommandContext, hostId: string): Promise<void> {
    const agent = await standingOf(tx, this.service.schema, `host:${hostId}`);
    if (!agent) throw ProblemError.of({ code: 'host.unknown', message: `no agent of a host ${hostId} has ever been here`, hostId });
    if (agent.health === 'up') return;
    const message = `the agent of ${hostId} is not connected; its last word was at ${agent.lastWord}`;
    throw ProblemError.of({ code: 'host.agent_away', message, hostId, lastWord: agent.lastWord });
  }
}
