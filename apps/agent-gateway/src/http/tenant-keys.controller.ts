import { Controller, Inject, Post, Req } from '@nestjs/common';
import { tenantKeyDecider } from '@chrysalis/agent-gateway-core';
import { Id, Name } from '@chrysalis/contracts';
import { Allow, Commands, Doc, dryRunQuery, ProblemError, reaches, type Answer, type ApiRequest } from '@chrysalis/service-kit';
import { z } from 'zod';
import { keepKey } from './sql.ts';

/** A public key and nothing but a public key: a private part that came along would be in the log for ever. */
const PublicKey = z.strictObject({
  kty: z.literal('OKP'),
  crv: z.literal('Ed25519'),
  x: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  kid: z.string().optional(),
  alg: z.enum(['EdDSA', 'Ed25519']).optional(),
  use: z.literal('sig').optional(),
});
const TrustKey = z.object({ tenant: Name, kid: Id, publicKeyJwk: PublicKey });
const Trusted = z.object({ tenant: Name, kid: Id });

@Controller()
export class TenantKeysController {
  constructor(@Inject(Commands) private readonly commands: Commands) {}

  @Post('/v1/tenant-keys')
  @Allow('admin')
  @Doc({ summary: "Trust a tenant administrator's public key (Ed25519)", body: TrustKey, query: dryRunQuery, answers: { 201: Trusted } })
  trust(@Req() request: ApiRequest): Promise<Answer> {
    return this.commands.run(request, TrustKey, async ({ tenant, kid, publicKeyJwk }, ctx) => {
      if (!reaches(ctx.caller, tenant))
        throw ProblemError.of({ code: 'tenant-key.foreign_tenant', message: `the caller is not of tenant ${tenant}` });
      const { kty, crv, x } = publicKeyJwk;
      const decided = await ctx.decide(`tenant-key-${tenant}`, tenantKeyDecider, { tenant, kid, publicKeyJwk: { kty, crv, x } });
      if (!decided.ok) throw ProblemError.of(decided.rejection);
      await keepKey(ctx.tx, tenant, kid, { kty, crv, x });
      return { status: 201, body: { tenant, kid } };
    });
  }
}
