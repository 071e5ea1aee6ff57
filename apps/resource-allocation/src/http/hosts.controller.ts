import { Controller, HttpCode, Inject, Param, Post, Req } from '@nestjs/common';
import { HostState, views } from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import {
  Allow,
  Commands,
  Doc,
  dryRunQuery,
  etag,
  ifMatch,
  ProblemError,
  SERVICE,
  type Answer,
  type ApiRequest,
  type ServiceContext,
} from '@chrysalis/service-kit';
import { z } from 'zod';
import { decideHost } from '../decide-host.ts';
import { hostNamed, hostNames, lockHosts } from '../sql/hosts.ts';
import { hostView } from './views.ts';

/** `lost` is no wish: that its agent is gone is seen, and a host whose agent is there is not lost because somebody says so. */
const StateChange = z.strictObject({ state: HostState.exclude(['lost']), reason: z.string().min(1).max(255) });

@Controller()
export class HostsController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Commands) private readonly commands: Commands,
  ) {}

  @Post('/v1/hosts/:id/state')
  @HttpCode(200)
  @Allow('operator')
  @Doc({
    summary: 'Enable, cordon, drain or retire a host',
    body: StateChange,
    query: dryRunQuery,
    answers: { 200: views.HostDecided, 404: '`host.unknown`' },
  })
  changeState(@Req() request: ApiRequest, @Param('id') id: string): Promise<Answer> {
    return this.commands.run(request, StateChange, async ({ state, reason }, ctx) => {
      const { schema } = this.service;
      await lockHosts(ctx.tx, schema, [id]);
      const decided = await decideHost(ctx, id, { type: 'change-state', hostId: id, to: state, reason }, { ifVersion: ifMatch(request) });
      if (!decided.ok)
        throw decided.rejection.code === 'host.unknown'
          ? await this.#unknown(ctx.tx, { code: 'host.unknown', hostId: id })
          : ProblemError.of(decided.rejection);
      const row = (await hostNamed(ctx.tx, schema, id))!;
      return { status: 200, body: hostView(row), headers: etag(row.version) };
    });
  }

  async #unknown(db: Queryable, refusal: { code: 'host.unknown'; hostId: string }): Promise<ProblemError> {
    return ProblemError.of({ ...refusal, known: await hostNames(db, this.service.schema) });
  }
}
