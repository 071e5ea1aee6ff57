import { Controller, Get, Inject, Param, Post, Query, Req } from '@nestjs/common';
import { views } from '@chrysalis/contracts';
import { discardParked, listParked, requestRedrive, type Parked } from '@chrysalis/messaging';
import { z } from 'zod';
import { Allow, type ApiRequest } from '../access/auth.ts';
import { Commands, dryRunQuery, type Answer, type CommandContext } from '../http/commands.ts';
import { SERVICE, type ServiceContext } from '../context.ts';
import { Doc } from '../http/documentation.ts';
import { ProblemError } from '../http/problems.ts';

const Nothing = z.object({});

/** What this service's consumers could not handle, and putting it back. Paths are per service; admin-api adds the context. */
@Controller()
export class DeadLettersController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Commands) private readonly commands: Commands,
  ) {}

  @Get('/v1/dead-letters')
  @Allow('viewer')
  @Doc({
    summary: 'Parked events, oldest first, each with the reason',
    query: { consumer: 'Only of this consumer' },
    answers: { 200: z.object({ items: z.array(views.DeadLetter) }) },
  })
  async list(@Query('consumer') consumer?: string): Promise<object> {
    const items = await listParked(this.service.store, { limit: 500, ...(consumer ? { consumer } : {}) });
    return {
      items: items.map((i) => ({
        context: this.service.context,
        ...i,
        event: { id: i.event.id, type: i.event.type, subject: i.event.subject, time: i.event.time },
      })),
    };
  }

  @Post('/v1/dead-letters/:eventId/redrive')
  @Allow('admin')
  @Doc({ summary: 'Put a parked event and those behind it back, in order', query: dryRunQuery, answers: { 201: views.Redriven } })
  redrive(@Param('eventId') eventId: string, @Req() request: ApiRequest): Promise<Answer> {
    return this.#act(request, eventId, async ({ consumer, key }, { tx, store }) => ({
      requested: await requestRedrive(store, { consumer, key }, tx),
    }));
  }

  @Post('/v1/dead-letters/:eventId/discard')
  @Allow('admin')
  @Doc({ summary: 'Give a parked event up', query: dryRunQuery, answers: { 201: views.Discarded } })
  discard(@Param('eventId') eventId: string, @Req() request: ApiRequest): Promise<Answer> {
    return this.#act(request, eventId, async ({ consumer }, { tx, store }) => ({
      discarded: await discardParked(store, { consumer, eventId }, tx),
    }));
  }

  #act(request: ApiRequest, eventId: string, work: (parked: Parked, ctx: CommandContext) => Promise<object>): Promise<Answer> {
    return this.commands.run(request, Nothing, async (_, ctx) => ({ status: 201, body: await work(await this.#find(eventId, ctx), ctx) }));
  }

  async #find(eventId: string, { store, tx }: CommandContext): Promise<Parked> {
    const parked = (await listParked(store, { limit: 10_000 }, tx)).find((p) => p.eventId === eventId);
    if (!parked) throw ProblemError.of({ code: 'dead-letter.unknown', eventId });
    return parked;
  }
}
