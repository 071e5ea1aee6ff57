import { Controller, Get, Inject, Param, Query as QueryParams, Req } from '@nestjs/common';
import { views, volumeStates } from '@chrysalis/contracts';
import { Allow, Doc, type Answer, type ApiRequest } from '@chrysalis/service-kit';
import { oneAnswer } from '../reads/answer.ts';
import { ReadModels, type Page, type Query } from '../reads/read-models.ts';
import { models } from '../reads/tables.ts';
import { listDoc, oneDoc, oneOf } from './docs.ts';

@Controller()
export class VolumesController {
  constructor(@Inject(ReadModels) private readonly reads: ReadModels) {}

  @Get('/v1/volumes')
  @Allow('viewer')
  @Doc(
    listDoc('Volumes; deleted ones only with `state=deleted` or `state=all`', views.Volume, {
      state: oneOf(volumeStates, 'Only in this state'),
      name: 'Only of this name',
      pool: 'Only in this pool',
      vm: 'Only those that this VM has',
    }),
  )
  list(@QueryParams() query: Query, @Req() request: ApiRequest): Promise<Page> {
    return this.reads.list(models.volumes, query, request.caller);
  }

  @Get('/v1/volumes/:id')
  @Allow('viewer')
  @Doc(oneDoc('A volume: its state, size and pool', views.Volume))
  async one(@Param('id') id: string, @Req() request: ApiRequest): Promise<Answer> {
    return oneAnswer(request, await this.reads.one(models.volumes, id, request.caller));
  }
}
