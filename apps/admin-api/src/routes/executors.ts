import { Controller, Get, Inject, Req } from '@nestjs/common';
import { Allow, Doc, type Answer, type ApiRequest } from '@chrysalis/service-kit';
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
      health: 'up or lost',
      group: 'Only of this group',
      limit: '1 to 500',
      cursor: 'From `next`',
    },
    answers: { 200: 'A page: `items`, and `next` if there are more' },
  })
  list(@Req() request: ApiRequest): Promise<Answer> {
    return this.owners.pass('workflow', request);
  }
}
