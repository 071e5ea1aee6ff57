import { Controller, Delete, Inject, Param, Post, Req } from '@nestjs/common';
import { grantDecider } from '@chrysalis/agent-gateway-core';
import { Id, Name } from '@chrysalis/contracts';
import {
  Allow,
  Commands,
  Doc,
  dryRunQuery,
  ProblemError,
  reaches,
  type Answer,
  type ApiRequest,
  type CommandContext,
} from '@chrysalis/service-kit';
import { z } from 'zod';
import { withdrawRevoked } from '../delivery/revoked.ts';
import { verifyGrant } from '../grants/verify-grant.ts';
import { revokes } from '../sql/granted-tasks.ts';
import { nameVms } from '../sql/grant-vms.ts';
import { vmsOfOthers } from '../sql/vm-tenants.ts';
import { keysOf } from './sql.ts';

const RegisterGrant = z.object({ jws: z.string().min(1).max(16_384) });
const RegisteredGrant = z.object({ grantId: Id, tenant: Name, vms: z.array(Id), expiresAt: z.string() });
const RevokeGrant = z.object({ reason: z.string().max(255).default('revoked') });

@Controller()
export class GrantsController {
  constructor(@Inject(Commands) private readonly commands: Commands) {}

  @Post('/v1/grants')
  @Allow('operator')
  @Doc({
    summary: "Register a tenant administrator's signed grant; the same again gives the same answer",
    body: RegisterGrant,
    query: dryRunQuery,
    answers: { 201: RegisteredGrant },
  })
  register(@Req() request: ApiRequest): Promise<Answer> {
    return this.commands.run(request, RegisterGrant, async ({ jws }, ctx) => {
      const verified = await verifyGrant(jws, (kid) => keysOf(ctx.tx, kid), ctx.now);
      if (!verified.ok) throw ProblemError.of(verified.fault);
      const { claims } = verified;
      await ownTenant(ctx, claims.iss, claims.vms);
      const decided = await ctx.decide(`grant-${claims.jti}`, grantDecider, { do: 'register', claims, jws });
      if (!decided.ok) throw ProblemError.of(decided.rejection);
      const expiresAt = new Date(claims.exp * 1000).toISOString();
      await nameVms(ctx.tx, claims, expiresAt, ctx.now);
      return {
        status: 201,
        body: { grantId: claims.jti, tenant: claims.iss, vms: claims.vms, expiresAt },
        headers: { location: `/v1/grants/${claims.jti}` },
      };
    });
  }

  @Delete('/v1/grants/:id')
  @Allow('operator')
  @Doc({
    summary:
      'Revoke a grant: what it allowed and has not begun is refused from now on, what waits fails, what may have begun is told to stop',
    body: RevokeGrant,
    query: dryRunQuery,
    answers: { 200: z.object({ grantId: Id }) },
  })
  revoke(@Req() request: ApiRequest, @Param('id') id: string): Promise<Answer> {
    return this.commands.run(request, RevokeGrant, async ({ reason }, ctx) => {
      const grantId = Id.safeParse(id).data;
      const [registered] = grantId ? await ctx.store.read(`grant-${grantId}`, { to: 1 }, ctx.tx) : [];
      const tenant = (registered?.data as { tenant?: string } | undefined)?.tenant;
      // Another tenant's grant is answered as if it were not there.
      if (!grantId || !tenant || !reaches(ctx.caller, tenant)) throw ProblemError.of({ code: 'grant.unknown', message: `no grant ${id}` });
      await revokes(ctx.tx, grantId);
      const decided = await ctx.decide(`grant-${grantId}`, grantDecider, { do: 'revoke', grantId, reason });
      if (!decided.ok) throw ProblemError.of(decided.rejection);
      await withdrawRevoked(ctx, grantId);
      return { status: 200, body: { grantId } };
    });
  }
}

const ownTenant = async (ctx: CommandContext, tenant: string, vms: readonly string[]): Promise<void> => {
  if (!reaches(ctx.caller, tenant)) throw ProblemError.of({ code: 'grant.foreign_tenant', message: `the grant is of tenant ${tenant}` });
  const foreign = await vmsOfOthers(ctx.tx, tenant, vms);
  if (foreign.length > 0)
    throw ProblemError.of({ code: 'grant.foreign_tenant', message: `not of tenant ${tenant}: ${foreign.join(', ').slice(0, 500)}` });
};
