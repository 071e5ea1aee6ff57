import { Controller, Get, Inject, Req } from '@nestjs/common';
import { Allow, Doc, shortPageQuery, type Answer, type ApiRequest } from '@chrysalis/service-kit';
import { z } from 'zod';
import { Owners } from '../owners.ts';

@Controller()
export class ExecutorsController {
  constructor(@Inject(Owners) private readonly owners: Owners) {}

  @Get('/v1/executors')
  @Allow('viewer')
  @Doc({
    summary: 'Who can run which kinds of tasks, whether it is there, and its rank when it bids',
    query: {
      kind: 'Only those that run this kind of task',
      health: z.enum(['up', 'lost']).describe('Only those that are there, or that are not'),
      group: 'Only of this group',
      ...shortPageQuery,
    },
    answers: { 200: 'A page: `items`, and `next` if there are more' },
  })
  list(@Req() request: ApiRequest): Promise<Answer> {
    return this.owners.pass('workflow', request);
  }
}
