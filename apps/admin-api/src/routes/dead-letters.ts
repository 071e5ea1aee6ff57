import { Controller, Get, Inject, Param, Post, Req } from '@nestjs/common';
import { contexts, type Context, views } from '@chrysalis/contracts';
import { EventStore } from '@chrysalis/event-store';
import { discardParked, listParked, requestRedrive } from '@chrysalis/messaging';
import {
  Allow,
  Commands,
  Doc,
  dryRunQuery,
  ProblemError,
  SERVICE,
  type Answer,
  type ApiRequest,
  type ServiceContext,
} from '@chrysalis/service-kit';
import { z } from 'zod';
import { Owners } from '../owners.ts';
import { unknown } from '../reads/read-models.ts';

const Nothing = z.object({});
type Letter = { readonly context: string; readonly eventId: string; readonly at: string };

/** Each service keeps what it could not handle; the projector's are in the schema of the read models, which is this door's to read. */
@Controller()
export class DeadLettersController {
  readonly #projector: EventStore;

  constructor(
    @Inject(SERVICE) service: ServiceContext,
    @Inject(Owners) private readonly owners: Owners,
    @Inject(Commands) private readonly commands: Commands,
  ) {
    this.#projector = new EventStore(service.pool, 'read');
  }

  @Get('/v1/dead-letters')
  @Allow('viewer')
  @Doc({
    summary: 'Events that could not be handled, at most 500 of each service, oldest first, each with the reason',
    answers: { 200: views.ofServices(views.DeadLetter).describe('`unavailable` names the services that did not answer') },
  })
  async list(@Req() request: ApiRequest): Promise<object> {
    const lists = await Promise.all([...contexts.map((c) => this.#ofOwner(c, request)), this.#ofProjector()]);
    const items = lists.flatMap((l) => l.items).sort((a, b) => (a.at < b.at ? -1 : 1));
    return { items, unavailable: lists.flatMap((l) => l.unavailable ?? []) };
  }

  @Post('/v1/dead-letters/:context/:id/redrive')
  @Allow('admin')
  @Doc({
    summary: 'Put a parked event, and those parked behind it, back in order',
    query: dryRunQuery,
    answers: { 201: views.Redriven },
  })
  redrive(@Param('context') context: string, @Param('id') id: string, @Req() request: ApiRequest): Promise<Answer> {
    return this.#act(context, id, 'redrive', request);
  }

  @Post('/v1/dead-letters/:context/:id/discard')
  @Allow('admin')
  @Doc({
    summary: 'Give a parked event up for good; those behind it become free',
    query: dryRunQuery,
    answers: { 201: views.Discarded },
  })
  discard(@Param('context') context: string, @Param('id') id: string, @Req() request: ApiRequest): Promise<Answer> {
    return this.#act(context, id, 'discard', request);
  }

  async #ofOwner(context: Context, request: ApiRequest): Promise<{ items: readonly Letter[]; unavailable?: string }> {
    try {
      const { status, body } = await this.owners.call(context, {
        method: 'GET',
        path: '/v1/dead-letters',
        headers: { authorization: request.headers.authorization! },
        patienceMs: 0,
      });
      return status === 200 ? (body as { items: Letter[] }) : { items: [], unavailable: context };
    } catch (error) {
      if (error instanceof ProblemError) return { items: [], unavailable: context };
      throw error;
    }
  }

  async #ofProjector(): Promise<{ items: readonly Letter[]; unavailable?: string }> {
    const parked = await listParked(this.#projector, { limit: 500 });
    return {
      items: parked.map(({ event, at, ...p }) => ({
        context: 'projector',
        ...p,
        at: at.toISOString(),
        event: { id: event.id, type: event.type, subject: event.subject, time: event.time },
      })),
    };
  }

  async #act(context: string, id: string, verb: 'redrive' | 'discard', request: ApiRequest): Promise<Answer> {
    if ((contexts as readonly string[]).includes(context))
      return this.owners.pass(context as Context, request, `/v1/dead-letters/${encodeURIComponent(id)}/${verb}`);
    if (context !== 'projector') throw unknown('service.unknown', context);
    return this.commands.run(request, Nothing, async (_, { tx }) => {
      const parked = (await listParked(this.#projector, { limit: 10_000 }, tx)).find((p) => p.eventId === id);
      if (!parked) throw unknown('dead-letter.unknown', id);
      const { consumer, key } = parked;
      return verb === 'redrive'
        ? { status: 201, body: { requested: await requestRedrive(this.#projector, { consumer, key }, tx) } }
        : { status: 201, body: { discarded: await discardParked(this.#projector, { consumer, eventId: id }, tx) } };
    });
  }
}
