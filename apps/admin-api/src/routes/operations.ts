import { Controller, Get, Headers, Inject, Param, Post, Query as QueryParams, Req, Res } from '@nestjs/common';
import { views } from '@chrysalis/contracts';
import {
  Allow,
  badQuery,
  Doc,
  dryRunQuery,
  eventStream,
  SERVICE,
  type Answer,
  type ApiRequest,
  type ServiceContext,
} from '@chrysalis/service-kit';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { findOperation, isFinal, OperationEvents, operationView, type OperationView } from '../operations.ts';
import { Owners } from '../owners.ts';
import { duration, oneAnswer } from '../reads/answer.ts';
import { positionOf } from '../reads/feed.ts';
import { ReadModels, type Page, type Query } from '../reads/read-models.ts';
import { models } from '../reads/tables.ts';
import { standingIn } from '../reads/standing.ts';
import { Wake } from '../reads/wake.ts';
import { streamed } from '../sse.ts';
import { listDoc, oneOf } from './docs.ts';

const MAX_WAIT_MS = 60_000;

@Controller()
export class OperationsController {
  constructor(
    @Inject(ReadModels) private readonly reads: ReadModels,
    @Inject(Owners) private readonly owners: Owners,
    @Inject(Wake) private readonly wake: Wake,
    @Inject(SERVICE) private readonly service: ServiceContext,
  ) {}

  @Get('/v1/operations')
  @Allow('viewer')
  @Doc(
    listDoc('Operations', views.Operation, {
      state: oneOf(views.operationStates, 'Only in this state'),
      subject: 'Only about this',
      kind: oneOf(['workflow', 'migration'], 'Only of this kind'),
    }),
  )
  async list(@QueryParams() query: Query, @Req() request: ApiRequest): Promise<Page> {
    const page = await this.reads.list(models.operations, query, request.caller);
    return { ...page, items: await Promise.all(page.items.map((o) => operationView(this.reads, o))) };
  }

  @Get('/v1/operations/:id')
  @Allow('viewer')
  @Doc({
    summary: 'An operation: state, progress and, where it failed, the first cause',
    query: {
      wait: 'Answer when it has ended, or after this time: `30s`, at most `60s`',
      atLeast: 'An end before this version is none: the `version` that a command answered, such as the undo of what has ended',
    },
    answers: { 200: views.Operation, 304: 'Unchanged since the version in `If-None-Match`' },
  })
  async one(
    @Param('id') id: string,
    @Req() request: ApiRequest,
    @QueryParams('wait') wait?: string,
    @QueryParams('atLeast') atLeast?: string,
  ): Promise<Answer> {
    const from = versionOf(atLeast);
    const ms = wait === undefined ? 0 : duration(wait);
    if (ms === undefined || ms > MAX_WAIT_MS) throw badQuery({ path: 'wait', message: 'a time such as `30s`, at most `60s`' });
    let operation = await this.#view(id, request);
    if (ms > 0 && !isFinal(operation, from)) {
      const gone = new AbortController();
      const { socket } = request.raw;
      const left = (): void => gone.abort();
      socket.once('close', left);
      await this.wake
        .until(ms, async () => (isFinal((operation = await this.#view(id, request)), from) ? true : undefined), gone.signal)
        .finally(() => socket.off('close', left)); // the connection is kept for the next request, and listeners would add up
    }
    return oneAnswer(request, operation);
  }

  @Get('/v1/operations/:id/events')
  @Allow('viewer')
  @Doc({
    query: { atLeast: 'As for the operation itself' },
    summary: 'What happens in an operation, as Server-Sent Events: each event with its id, `operation` at each change, `end` at the end',
    answers: { 200: eventStream('Resumes after `Last-Event-ID`') },
  })
  async events(
    @Param('id') id: string,
    @Req() request: ApiRequest,
    @Res() reply: FastifyReply,
    @Headers('last-event-id') last?: string,
    @QueryParams('atLeast') atLeast?: string,
  ): Promise<void> {
    const version = versionOf(atLeast);
    const from = positionOf(last) ?? '0';
    let seen = await this.#view(id, request);
    const events = new OperationEvents(this.reads, id, from, request.caller);
    await streamed(reply, request, this.service.log, async (stream) => {
      await stream.send('operation', seen);
      while (!stream.signal.aborted && !this.wake.stopped) {
        const operation = await this.#view(id, request);
        for (const e of await events.next()) await stream.send(e.type, e, e.position);
        if (changed(seen, operation)) await stream.send('operation', (seen = operation));
        if (isFinal(operation, version)) return stream.send('end', operation);
        await this.wake.changed(1_000, stream.signal);
      }
    });
  }

  @Post('/v1/operations/:id/cancel')
  @Allow('operator')
  @Doc({
    summary: 'Cancel: what is done is undone where it still can be',
    body: z.object({
      reason: z.string().min(1).max(255),
      compensate: z.boolean().optional().describe('of a workflow: false ends it at once'),
    }),
    query: dryRunQuery,
    answers: { 202: views.CancelTaken.describe('The owner took the request') },
  })
  async cancel(@Param('id') id: string, @Req() request: ApiRequest): Promise<Answer> {
    const { kind } = await this.#view(id, request);
    return kind === 'migration'
      ? this.owners.pass('migration-templates', request, `/v1/migrations/${encodeURIComponent(id)}/cancel`)
      : this.owners.pass('workflow', request, `/v1/workflows/${encodeURIComponent(id)}/cancel`);
  }

  async #view(id: string, request: ApiRequest): Promise<OperationView> {
    const operation = await operationView(this.reads, await findOperation(this.reads, id, request.caller));
    if (operation.state === 'succeeded' || operation.state === 'queued') return operation;
    const standing = await standingIn(this.reads, id);
    return standing ? { ...operation, standing } : operation;
  }
}

const versionOf = (text: string | undefined): number => {
  if (text === undefined) return 0;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw badQuery({ path: 'atLeast', message: 'a version such as `17`' });
};
const changed = (a: OperationView, b: OperationView): boolean => JSON.stringify(a) !== JSON.stringify(b);
