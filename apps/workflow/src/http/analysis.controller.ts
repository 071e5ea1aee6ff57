import { Controller, Get, Inject, Param, Req } from '@nestjs/common';
import { Name, type WorkflowDefinition, views } from '@chrysalis/contracts';
import { Allow, Doc, ProblemError, SERVICE, type ApiRequest, type ServiceContext } from '@chrysalis/service-kit';
import { analyse, compile, isInstance } from '@chrysalis/workflow-core';
import { Engine } from '../engine/engine.ts';
import { definitionOf } from '../queue/resolve.ts';
import { loadVisible } from './visible.ts';
import { Durations } from '../durations/durations.ts';

const answer = views.Analysis.describe('Times in milliseconds');

@Controller()
export class AnalysisController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Engine) private readonly engine: Engine,
    @Inject(Durations) private readonly durations: Durations,
  ) {}

  @Get('/v1/workflows/:id/analysis')
  @Allow('viewer')
  @Doc({
    summary:
      'What can run in parallel, the critical path and the slack of each task: with what took its time already, and earlier runs for the rest',
    answers: { 200: answer, 404: '`workflow.unknown`', 409: '`workflow.not_started`' },
  })
  async ofInstance(@Param('id') id: string, @Req() request: ApiRequest): Promise<object> {
    const { state } = await loadVisible(this.engine, id, request);
    if (!isInstance(state))
      throw ProblemError.of({ code: 'workflow.not_started', message: 'It has no graph: it waits in the queue, or was refused.' });
    const { definition, graph } = state;
    const measured = await this.durations.of(definition.name, kindsOf(definition));
    return { workflowId: id, name: definition.name, version: definition.version, state: state.status, ...analyse(graph, measured, state) };
  }

  @Get('/v1/workflow-templates/:name/:version/analysis')
  @Allow('viewer')
  @Doc({ summary: 'The same of a template, from earlier runs', answers: { 200: answer, 404: '`workflow.template_unknown`' } })
  async ofTemplate(@Param('name') name: string, @Param('version') version: string): Promise<object> {
    const { pool, schema } = this.service;
    const sane = Name.safeParse(name).success && /^[1-9][0-9]{0,8}$/.test(version);
    const definition = sane ? await definitionOf(pool, schema, name, Number(version)) : undefined;
    if (!definition) throw ProblemError.of({ code: 'workflow.template_unknown', template: `${name}@${version}` });
    const measured = await this.durations.of(name, kindsOf(definition));
    return { name, version: definition.version, ...analyse(compile(definition).graph, measured) };
  }
}

const kindsOf = ({ tasks }: WorkflowDefinition): string[] => [...new Set(tasks.map((t) => t.kind))];
