import { Controller, Get, Inject, Param, Query as QueryParams, Req, type Type } from '@nestjs/common';
import { kinds, type Kind } from '@chrysalis/contracts';
import { Allow, Doc, type Answer, type ApiRequest } from '@chrysalis/service-kit';
import { oneAnswer } from '../reads/answer.ts';
import { ReadModels, type Page, type Query } from '../reads/read-models.ts';
import { kindModels, type Model } from '../reads/tables.ts';
import { listDoc, oneDoc, oneOf } from './docs.ts';

/** `GET /v1/<plural>` and `GET /v1/<plural>/:id` of a kind, as its entry in the registry says what they answer. */
const controllerOf = ({ noun, plural, view, states, filters }: Kind, model: Model): Type => {
  const only = Object.fromEntries(Object.entries(filters).map(([name, { help }]) => [name, help]));

  @Controller()
  class KindController {
    constructor(@Inject(ReadModels) private readonly reads: ReadModels) {}

    @Get(`/v1/${plural}`)
    @Allow('viewer')
    @Doc(
      listDoc(`All ${plural}, newest first; deleted ones only with \`state=deleted\` or \`state=all\``, view, {
        state: oneOf(states, 'Only in this state'),
        ...only,
      }),
    )
    list(@QueryParams() query: Query, @Req() request: ApiRequest): Promise<Page> {
      return this.reads.list(model, query, request.caller);
    }

    @Get(`/v1/${plural}/:id`)
    @Allow('viewer')
    @Doc(oneDoc(`One ${noun}`, view))
    async one(@Param('id') id: string, @Req() request: ApiRequest): Promise<Answer> {
      return oneAnswer(request, await this.reads.one(model, id, request.caller));
    }
  }
  Object.defineProperty(KindController, 'name', { value: `${noun}Controller` });
  return KindController;
};

export const kindControllers = kinds.map((k) => controllerOf(k, kindModels[k.plural]));
