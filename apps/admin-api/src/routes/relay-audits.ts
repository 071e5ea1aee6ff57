import { Controller, Get, Inject, Param, Post, Req } from '@nestjs/common';
import { contexts, type Context, views } from '@chrysalis/contracts';
import { Allow, Doc, ProblemError, type Answer, type ApiRequest } from '@chrysalis/service-kit';
import { z } from 'zod';
import { Owners } from '../owners.ts';
import { unknown } from '../reads/read-models.ts';

/** Whether the bus has what each service's relay says it has published. */
@Controller()
export class RelayAuditsController {
  constructor(@Inject(Owners) private readonly owners: Owners) {}

  @Get('/v1/relay-audits')
  @Allow('admin')
  @Doc({
    summary: 'Of each service, the last comparison of its log with the bus',
    answers: { 200: views.ofServices(views.RelayAudit).describe('`unavailable` names the services that did not answer') },
  })
  async list(@Req() request: ApiRequest): Promise<object> {
    const audits = await Promise.all(contexts.map((context) => this.#of(context, request)));
    return { items: audits.filter((a) => typeof a !== 'string'), unavailable: audits.filter((a) => typeof a === 'string') };
  }

  @Post('/v1/relay-audits/:context')
  @Allow('admin')
  @Doc({
    summary: "Compare a service's log with the bus; with `fill`, publish again what the bus lacks",
    body: z.object({ fill: z.boolean().optional().describe('Publish again what is missing; only compared unless told') }),
    noDryRun: 'Without `fill` it only compares, and changes nothing',
    answers: { 202: views.RelayAudit.describe('It runs: the list shows how it ends') },
  })
  begin(@Param('context') context: string, @Req() request: ApiRequest): Promise<Answer> {
    if (!(contexts as readonly string[]).includes(context)) throw unknown('service.unknown', context);
    return this.owners.pass(context as Context, request, '/v1/relay-audit');
  }

  /** The service's name where it does not answer. */
  async #of(context: Context, request: ApiRequest): Promise<views.RelayAudit | string> {
    const headers = { authorization: request.headers.authorization! };
    try {
      const { status, body } = await this.owners.call(context, { method: 'GET', path: '/v1/relay-audit', headers, patienceMs: 0 });
      return status === 200 ? (body as views.RelayAudit) : context;
    } catch (error) {
      if (error instanceof ProblemError) return context;
      throw error;
    }
  }
}
