import { agentGatewayEvents as events, type DataOf, type GrantClaims, type ProblemCode, type Refusal } from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import { Consumer, OnEvent, type EventContext } from '@chrysalis/service-kit';

export type KnownGrant = Readonly<{ grantId: string; tenant: string; claims: GrantClaims; jws: string; revoked: string | null }>;

@Consumer('known-grants')
export class KnownGrants {
  @OnEvent(events.grantRegistered)
  async registered({ grantId, tenant, claims, jws }: DataOf<typeof events.grantRegistered>, { tx, store }: EventContext): Promise<void> {
    await tx.query(
      `insert into ${store.schema}.known_grants (grant_id, tenant, claims, jws) values ($1, $2, $3, $4) on conflict do nothing`,
      [grantId, tenant, JSON.stringify(claims), jws],
    );
  }

  @OnEvent(events.grantUsed)
  async used({ grantId, use }: DataOf<typeof events.grantUsed>, { tx, store }: EventContext): Promise<void> {
    await tx.query(`update ${store.schema}.known_grants set used = greatest(used, $2) where grant_id = $1`, [grantId, use]);
  }

  @OnEvent(events.grantRevoked)
  async revoked({ grantId, reason }: DataOf<typeof events.grantRevoked>, { tx, store }: EventContext): Promise<void> {
    await tx.query(`update ${store.schema}.known_grants set revoked = $2 where grant_id = $1`, [grantId, reason]);
  }
}

export const knownGrant = async (q: Queryable, schema: string, grantId: string, tenant: string): Promise<KnownGrant | undefined> => {
  const { rows } = await q.query<KnownGrant>(
    `select grant_id as "grantId", tenant, claims, jws, revoked from ${schema}.known_grants where grant_id = $1 and tenant = $2`,
    [grantId, tenant],
  );
  return rows[0];
};

/** Why this grant does not cover these VMs now. The gateway and the agent look again: this is to refuse before anything has begun. */
export const grantRefusal = (grant: KnownGrant, vmIds: readonly string[], now: string): Refusal<ProblemCode> | undefined => {
  const { grantId, claims } = grant;
  if (grant.revoked !== null) return { code: 'grant.revoked', grantId, reason: grant.revoked };
  if (claims.exp * 1000 <= Date.parse(now)) return { code: 'grant.expired', grantId, expiredAt: new Date(claims.exp * 1000).toISOString() };
  const foreign = vmIds.filter((id) => !claims.vms.includes(id));
  if (foreign.length > 0) return { code: 'grant.vm_not_named', grantId, vmIds: foreign };
  const lacks = (['add-agent', 'characterise'] as const).filter((a) => !claims.actions.includes(a));
  if (lacks.length > 0) return { code: 'grant.action_not_named', grantId, actions: lacks };
  return claims.packages.length === 0 ? { code: 'grant.no_package', grantId } : undefined;
};
