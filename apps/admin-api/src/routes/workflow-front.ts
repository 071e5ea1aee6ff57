import { Controller, Get, Inject, Req } from '@nestjs/common';
import { Allow, Doc, shortPageQuery, type Answer, type ApiRequest } from '@chrysalis/service-kit';
import { Owners } from '../owners.ts';

const page = shortPageQuery;

/** Templates, the queue and its limits, as the workflow service itself has them: what was just published can be started at once. */
@Controller()
export class WorkflowFrontController {
  constructor(@Inject(Owners) private readonly owners: Owners) {}

  @Get('/v1/workflow-templates')
  @Allow('viewer')
  @Doc({ summary: 'Workflow templates, each with its newest version', query: page, answers: { 200: '{items, next?}' } })
  templates(@Req() request: ApiRequest): Promise<Answer> {
    return this.owners.pass('workflow', request);
  }

  @Get('/v1/workflow-templates/schema')
  @Allow('viewer')
  @Doc({ summary: 'The JSON Schema (2020-12) of a workflow template', answers: { 200: 'A JSON Schema' } })
  schema(@Req() request: ApiRequest): Promise<Answer> {
    return this.owners.pass('workflow', request);
  }

  @Get('/v1/workflow-templates/:name')
  @Allow('viewer')
  @Doc({ summary: 'The newest version of a workflow template', answers: { 200: 'The template', 404: '`workflow.template_unknown`' } })
  newest(@Req() request: ApiRequest): Promise<Answer> {
    return this.owners.pass('workflow', request);
  }

  @Get('/v1/workflow-templates/:name/:version')
  @Allow('viewer')
  @Doc({ summary: 'A version of a workflow template', answers: { 200: 'The template', 404: '`workflow.template_unknown`' } })
  version(@Req() request: ApiRequest): Promise<Answer> {
    return this.owners.pass('workflow', request);
  }

  @Get('/v1/workflow-queue')
  @Allow('viewer')
  @Doc({
    summary: 'Workflows that wait for their start, with the position of each among its tenant’s',
    query: { ...page, tenant: 'Only of this tenant; for administrators' },
    answers: { 200: '{items, next?}' },
  })
  queue(@Req() request: ApiRequest): Promise<Answer> {
    return this.owners.pass('workflow', request);
  }

  @Get('/v1/workflow-limits')
  @Allow('viewer')
  @Doc({ summary: 'How many workflows may run, and how many do', answers: { 200: '{limits, running}' } })
  limits(@Req() request: ApiRequest): Promise<Answer> {
    return this.owners.pass('workflow', request);
  }
}
