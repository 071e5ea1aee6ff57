import { Controller, Get, Inject, Req } from '@nestjs/common';
import { Allow, Doc, type Answer, type ApiRequest } from '@chrysalis/service-kit';
import { Owners } from '../owners.ts';
import { passedDoc } from './docs.ts';

@Controller()
export class ExecutorsController {
  constructor(@Inject(Owners) private readonly owners: Owners) {}

  @Get('/v1/executors')
  @Allow('viewer')
  @Doc(passedDoc('Who can run which kinds of tasks, whether it is there, and its rank when it bids'))
  list(@Req() request: ApiRequest): Promise<Answer> {
    return this.owners.pass('workflow', request);
  }
}
