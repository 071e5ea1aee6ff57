import { Controller, Get, Inject, Param, Post, Query } from '@nestjs/common';
import { discardParked, listParked, requestRedrive } from '@chrysalis/messaging';
import { Allow } from './auth.ts';
import { SERVICE, type ServiceContext } from './context.ts';
import { Doc } from './documentation.ts';
import { ProblemError } from './problems.ts';

/** What this service's consumers could not handle, and putting it back. Paths are per service; admin-api adds the context. */
@Controller()
export class DeadLettersController {
  constructor(@Inject(SERVICE) private readonly service: ServiceContext) {}

  @Get('/v1/dead-letters')
  @Allow('viewer')
  @Doc({
    summary: 'Parked events, oldest first, each with the reason',
    query: { consumer: 'Only of this consumer' },
    answers: { 200: 'The list' },
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
  @Doc({ summary: 'Put a parked event and those behind it back, in order', answers: { 201: 'How many it concerns' } })
  async redrive(@Param('eventId') eventId: string): Promise<object> {
    const parked = await this.#find(eventId);
    return { requested: await requestRedrive(this.service.store, { consumer: parked.consumer, key: parked.key }) };
  }

  @Post('/v1/dead-letters/:eventId/discard')
  @Allow('admin')
  @Doc({ summary: 'Give a parked event up', answers: { 201: 'Whether it was there' } })
  async discard(@Param('eventId') eventId: string): Promise<object> {
    const parked = await this.#find(eventId);
    return { discarded: await discardParked(this.service.store, { consumer: parked.consumer, eventId }) };
  }

  async #find(eventId: string) {
    const parked = (await listParked(this.service.store, { limit: 10_000 })).find((p) => p.eventId === eventId);
    if (!parked) throw new ProblemError({ status: 404, code: 'dead-letter.unknown', title: 'No such event is parked here', eventId });
    return parked;
  }
}
