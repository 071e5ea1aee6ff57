import { Controller, HttpCode, Inject, Post, Req } from '@nestjs/common';
import { Id, QueuePriority, WorkflowTemplate, type WorkflowDefinition, views } from '@chrysalis/contracts';
import {
  Allow,
  allows,
  Commands,
  Doc,
  dryRunQuery,
  isDryRun,
  isOfFleet,
  ProblemError,
  SERVICE,
  type Answer,
  type ApiRequest,
  type CommandContext,
  type ServiceContext,
} from '@chrysalis/service-kit';
import { judgeTemplate, mayQueue, retryAfterSeconds } from '@chrysalis/workflow-core';
import { z } from 'zod';
import { Engine } from '../engine/engine.ts';
import { warnedOf } from './warned.ts';
import { Pump } from '../queue/pump.ts';
import { invalid, refusalOf, resolveTemplate, type RequestRejection } from '../queue/resolve.ts';
import * as sql from '../queue/sql.ts';
import { entryOf, type Submission } from '../queue/submit.ts';

const shape = {
  template: z.string().min(1).max(80).optional(),
  params: z.record(z.string().max(255), z.unknown()).default({}),
  subject: Id.optional(),
  priority: QueuePriority.optional(),
};
const Start = z
  .strictObject({ ...shape, definition: z.unknown().optional() })
  .refine((b) => (b.template === undefined) !== (b.definition === undefined), { message: 'either `template` or `definition`' });
type Start = z.infer<typeof Start>;
const Documented = z.strictObject({ ...shape, definition: WorkflowTemplate.optional() });

@Controller()
export class StartController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Commands) private readonly commands: Commands,
    @Inject(Pump) private readonly pump: Pump,
    @Inject(Engine) private readonly engine: Engine,
  ) {}

  @Post('/v1/workflows')
  @HttpCode(202)
  @Allow('operator')
  @Doc({
    summary:
      'Start a workflow of a template (`name@3`, or `name` for its newest version), or, as an administrator of the fleet, of a definition',
    body: Documented,
    query: dryRunQuery,
    answers: {
      202: views.WorkflowStarted.describe('`queued` if it waits for others, by the limits; `warnings` as for a template, of a definition'),
      409: '`workflow.template_retired`',
      422: '`workflow.template_unknown`; `workflow.request_invalid`, with every fault and its place',
      429: '`workflow.queue_full`: `Retry-After` says when a place may be expected',
    },
  })
  async start(@Req() request: ApiRequest): Promise<Answer> {
    const rows: sql.QueueRow[] = [];
    const answer = await this.commands.run(request, Start, async (body, ctx) => {
      rows.length = 0; // the work may be done again, after a lost race
      const { submission, definition, inline } = await this.#judge(body, ctx);
      const entry = { ...entryOf(submission, definition, inline, ctx.now), key: ctx.idempotencyKey ?? null };
      const free = await this.pump.isFree(entry.tenant, entry.name);
      await sql.enqueue(ctx.tx, this.service.schema, entry, free);
      if (free) rows.push(freeRow(entry, ctx.now));
      else rows.push(...(await this.pump.roundIn(ctx.tx)).admitted);
      const queued = !rows.some((r) => r.workflowId === entry.workflowId);
      if (queued) await this.#mayWait(ctx, entry.tenant);
      const { workflowId } = entry;
      const warned = inline ? await warnedOf(definition, this.engine, ctx.tx, this.service.schema) : {};
      return {
        status: 202,
        body: { workflowId, operation: workflowId, queued, ...warned },
        headers: { location: `/v1/workflows/${workflowId}` },
      };
    });
    if (!isDryRun(request)) await this.pump.run(rows);
    return answer;
  }

  async #judge(body: Start, ctx: CommandContext) {
    const { caller } = ctx;
    const inline = body.definition !== undefined;
    if (inline && !(isOfFleet(caller) && allows(caller, 'admin')))
      throw ProblemError.of({
        code: 'auth.denied',
        message:
          'A definition of one’s own takes an administrator of the fleet, for its tasks may be for any host and VM: ' +
          'ask for it to be published as a template, and start that',
        needs: allows(caller, 'admin') ? 'fleet' : 'admin',
        has: caller.roles,
      });
    const definition = inline ? inlineDefinition(body.definition) : await this.#template(body.template!, ctx);
    const rejection = refusalOf(definition, body.params, inline);
    if (rejection) throw refused(rejection, inline ? {} : { template: body.template });
    const workflowId = ctx.newId('op');
    const { subject = workflowId, params, priority } = body;
    const { tenant } = caller;
    const submission: Submission = { workflowId, params, subject, tenant, priority, meta: ctx.meta, definition };
    return { submission, definition, inline };
  }

  async #template(text: string, ctx: CommandContext): Promise<WorkflowDefinition> {
    const resolved = await resolveTemplate(ctx.tx, this.service.schema, text);
    if (!resolved.ok) throw refused(resolved.rejection);
    return resolved.definition;
  }

  /** Thrown, so that nothing is kept: neither the request nor an answer to its key. */
  async #mayWait(ctx: CommandContext, tenant: string): Promise<void> {
    const { schema } = this.service;
    const limits = await sql.readLimits(ctx.tx, schema);
    const before = (await sql.waitingOf(ctx.tx, schema, tenant)) - 1;
    if (mayQueue(limits, tenant, before)) return;
    const seconds = retryAfterSeconds((await sql.paceOf(ctx.tx, schema, [tenant])).get(tenant), Date.parse(ctx.now));
    throw ProblemError.of({
      code: 'workflow.queue_full',
      message: `${before} requests wait already; a place may be expected in ${seconds} s`,
      queued: before,
      retryAfterSeconds: seconds,
    });
  }
}

const freeRow = (entry: sql.QueueEntry, at: string): sql.QueueRow => ({
  ...entry,
  queuedAt: new Date(at),
  expiresAt: new Date(at),
  announced: false,
});

const inlineDefinition = (given: unknown): WorkflowDefinition => {
  const judged = judgeTemplate(given);
  if (judged.ok) return { ...judged.template, version: 1 };
  throw refused(invalid(judged.faults.map((f) => ({ ...f, place: f.place === '' ? 'definition' : `definition.${f.place}` }))));
};

export const refused = (rejection: RequestRejection, evidence: { template?: string | undefined } = {}): ProblemError =>
  rejection.code === 'workflow.template_unknown' ? ProblemError.ofMember(rejection) : ProblemError.of({ ...evidence, ...rejection });
