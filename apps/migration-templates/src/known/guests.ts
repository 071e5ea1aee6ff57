import type { Characterisation, GrantClaims } from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import type { KnownGuest, StandingGrant } from '@chrysalis/migration-templates-core';

/** What is known of the way into each guest: what was found in it, whether it started anew since, and the grants that name it. */
export const guestsOf = async (q: Queryable, schema: string, vmIds: readonly string[]): Promise<Map<string, KnownGuest>> => {
  const grants = await grantsOver(q, schema, vmIds);
  const { rows } = await q.query<{ vm_id: string; characterisation: Characterisation | null; rebooted: boolean | null }>(
    `select vm_id, c.characterisation, o.reset_at >= c.found_at as rebooted
     from unnest($1::text[]) as vm_id
     left join ${schema}.characterisations c using (vm_id)
     left join ${schema}.known_observed o using (vm_id)`,
    [vmIds],
  );
  return new Map(
    rows.map(({ vm_id: vmId, characterisation, rebooted }) => [
      vmId,
      {
        characterisation: characterisation ?? undefined,
        rebooted: rebooted ?? false,
        grants: grants.filter((g) => g.claims.vms.includes(vmId)),
      },
    ]),
  );
};

const grantsOver = async (q: Queryable, schema: string, vmIds: readonly string[]): Promise<StandingGrant[]> => {
  const { rows } = await q.query<{ grantId: string; claims: GrantClaims; revoked: boolean; used: number }>(
    `select grant_id as "grantId", claims, revoked is not null as revoked, used from ${schema}.known_grants where claims->'vms' ?| $1::text[]`,
    [vmIds],
  );
  return rows;
};
