import { Controller, Get, Inject, Req } from '@nestjs/common';
import { Allow, Doc, type Answer, type ApiRequest } from '@chrysalis/service-kit';
import { Owners } from '../owners.ts';
import { passedDoc } from './docs.ts';

/** Templates, the queue and its limits, as the workflow service itself has them: what was just published can be started at once. */
@Controller()
export class WorkflowFrontController {
  constructor(@Inject(Owners) private readonly owners: Owners) {}

  @Get('/v1/workflow-templates')
  @Allow('viewer')
  @Doc(passedDoc('Workflow templates, each with its newest version'))
  templates(@Req() request: ApiRequest): Promise<Answer> {
    return this.owners.pass('workflow', request);
  }

  @Get('/v1/workflow-templates/schema')
  @Allow('viewer')
  @Doc(passedDoc('The JSON Schema (2020-12) of a workflow template'))
  schema(@Req() request: ApiRequest): Promise<Answer> {
    return this.owners.pass('workflow', request);
  }

  @Get('/v1/workflow-templates/:name')
  @Allow('viewer')
  @Doc(passedDoc('The newest version of a workflow template'))
  newest(@Req() request: ApiRequest): Promise<Answer> {
    return this.owners.pass('workflow', request);
  }

  @Get('/v1/workflow-templates/:name/:version')
  @Allow('viewer')
  @Doc(passedDoc('A version of a workflow template'))
  version(@Req() request: ApiRequest): Promise<Answer> {
    return this.owners.pass('workflow', request);
  }

  @Get('/v1/workflow-queue')
  @Allow('viewer')
  @Doc(passedDoc('Workflows that wait for their start, with the position of each among its tenant’s'))
  queue(@Req() request: ApiRequest): Promise<Answer> {
    return this.owners.pass('workflow', request);
  }

  @Get('/v1/workflow-limits')
  @Allow('viewer')
  @Doc(passedDoc('How many workflows may run, and how many do'))
  limits(@Req() request: ApiRequest): Promise<Answer> {
    return this.owners.pass('workflow', request);
  }
}
