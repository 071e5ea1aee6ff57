import { Controller, HttpCode, Inject, Param, Post, Req } from '@nestjs/common';
import { Change, views } from '@chrysalis/contracts';
import {
  Allow,
  Answer,
  Doc,
  dryAnswer,
  dryRunQuery,
  etag,
  idempotencyKey,
  ifMatch,
  isDryRun,
  parseBody,
  SERVICE,
  type ApiRequest,
  type ServiceContext,
} from '@chrysalis/service-kit';
import { z } from 'zod';
import { requestKey } from '../engine/operator-request.ts';
import { Engine } from '../engine/engine.ts';
import type { Job } from '../engine/plan.ts';
import { remove } from '../queue/sql.ts';
import { refused } from './refusals.ts';
import { loadVisible } from './visible.ts';

const Reason = z.string().min(1).max(255);
const ChangeBody = z.strictObject({ change: Change, reason: Reason });
const CancelBody = z.strictObject({ reason: Reason, compensate: z.boolean().default(true) });
const UndoBody = z.strictObject({ reason: Reason });
const also = { 404: '`workflow.unknown`', 412: '`stream.version_mismatch`: it is not at the version in `If-Match` any more' };

/** What an operator does to a workflow that there is. With an `Idempotency-Key` it is done once, whoever is killed meanwhile. */
@Controller()
export class ChangeController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Engine) private readonly engine: Engine,
  ) {}

  @Post('/v1/workflows/:id/changes')
  @HttpCode(200)
  @Allow('operator')
  @Doc({
    summary: 'Change a workflow while it runs, or repair one that stopped; what has happened is not rewritten',
    body: ChangeBody,
    query: dryRunQuery,
    answers: {
      200: views.WorkflowChanged.describe('It is done'),
      ...also,
      409: '`workflow.task_begun`, `workflow.task_running`, `workflow.task_ended`, `workflow.change_refused`, `workflow.ended`, …',
      422: '`workflow.change_invalid`, with every fault of what it would become; `workflow.task_unknown`',
    },
  })
  change(@Param('id') id: string, @Req() request: ApiRequest): Promise<Answer> {
    const { change, reason } = parseBody(ChangeBody, request.body ?? {});
    return this.#ask(id, request, { type: 'change', change, actor: actorOf(request), reason }, 200);
  }

  @Post('/v1/workflows/:id/cancel')
  @HttpCode(202)
  @Allow('operator')
  @Doc({
    summary: 'Undo what was done and end; with `compensate: false` end at once, naming what is left. Asking again is harmless',
    body: CancelBody,
    query: dryRunQuery,
    answers: {
      202: views.WorkflowChanged.describe('It is being undone, or has ended'),
      ...also,
      409: 'It has ended, is being undone already, or is past its point of no return',
    },
  })
  async cancel(@Param('id') id: string, @Req() request: ApiRequest): Promise<Answer> {
    const { reason, compensate } = parseBody(CancelBody, request.body ?? {});
    const answer = await this.#ask(id, request, { type: 'cancel', reason, compensate }, 202);
    if (!isDryRun(request)) await remove(this.service.pool, this.service.schema, [id]); // where it had not started it leaves the queue
    return answer;
  }

  @Post('/v1/workflows/:id/undo')
  @HttpCode(202)
  @Allow('operator')
  @Doc({
    summary: 'Undo the tasks of a workflow that has succeeded, in reverse order',
    body: UndoBody,
    query: dryRunQuery,
    answers: {
      202: views.WorkflowChanged.describe('It is being undone'),
      ...also,
      409: 'It did not succeed, or passed a point of no return',
    },
  })
  undo(@Param('id') id: string, @Req() request: ApiRequest): Promise<Answer> {
    const { reason } = parseBody(UndoBody, request.body ?? {});
    return this.#ask(id, request, { type: 'undo', reason }, 202);
  }

  async #ask(id: string, request: ApiRequest, command: Job['command'], status: number): Promise<Answer> {
    await loadVisible(this.engine, id, request);
    const ifVersion = ifMatch(request);
    const guard = ifVersion === undefined ? {} : { ifVersion };
    const job: Job = { workflowId: id, command, actor: actorOf(request), ...guard };
    const dryRun = isDryRun(request);
    const outcome = dryRun ? await this.engine.judge(job) : await this.engine.submit({ ...job, ...askOf(request) });
    if (!outcome.ok) throw refused(outcome.rejection);
    const { version } = outcome;
    const body = { workflowId: id, operation: id, version };
    return dryRun ? dryAnswer(body) : new Answer(status, body, etag(version));
  }
}

const actorOf = ({ caller }: ApiRequest): string => `user:${caller.sub}`;

const askOf = (request: ApiRequest): { key?: string } => {
  const key = idempotencyKey(request);
  return key ? { key: requestKey(request.caller.tenant, key, [request.url, request.body ?? {}]) } : {};
};
