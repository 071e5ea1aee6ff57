import { Controller, HttpCode, Inject, Param, Post, Req } from '@nestjs/common';
import { agentGatewayEvents, HostAgentIdentity, Name } from '@chrysalis/contracts';
import { Allow, Commands, Doc, dryRunQuery, ProblemError, type Answer, type ApiRequest } from '@chrysalis/service-kit';
import { z } from 'zod';
import { agentsOf, lockHost, releaseAgent } from '../sql/agent-identities.ts';
import { forgetRefusal } from '../sql/agent-refusals.ts';
import { isThere } from '../sql/agent-sessions.ts';

const ReleaseAgent = z.strictObject({ reason: z.string().min(1).max(255) });
const Released = z.object({ hostId: Name, agentKey: HostAgentIdentity.shape.key });

@Controller()
export class HostsController {
  constructor(@Inject(Commands) private readonly commands: Commands) {}

  @Post('/v1/hosts/:id/release-agent')
  @HttpCode(200)
  @Allow('admin')
  @Doc({
    summary:
      'Take a host from its agent, for good: the next agent that comes has it. For a host that was replaced; its old agent must be away',
    body: ReleaseAgent,
    query: dryRunQuery,
    answers: { 200: Released, 404: '`host-agent.unknown`', 409: '`host-agent.connected`' },
  })
  release(@Req() request: ApiRequest, @Param('id') hostId: string): Promise<Answer> {
    return this.commands.run(request, ReleaseAgent, async ({ reason }, ctx) => {
      await lockHost(ctx.tx, hostId);
      const { current } = await agentsOf(ctx.tx, hostId);
      if (!current) throw ProblemError.of({ code: 'host-agent.unknown', message: `no agent has said that it is the one of ${hostId}` });
      if (await isThere(ctx.tx, hostId))
        throw ProblemError.of({
          code: 'host-agent.connected',
          message: `the agent of ${hostId} is there: stop it, and wait until the host's agent is away`,
        });
      await releaseAgent(ctx.tx, hostId, current.key, ctx.now);
      await forgetRefusal(ctx.tx, hostId);
      await ctx.append(`host-agent-${hostId}`, 'any', {
        type: agentGatewayEvents.hostAgentReleased.type,
        data: { hostId, agentKey: current.key, reason, at: ctx.now },
      });
      return { status: 200, body: { hostId, agentKey: current.key } };
    });
  }
}
