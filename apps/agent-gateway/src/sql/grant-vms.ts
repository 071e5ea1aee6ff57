import type { GrantClaims } from '@chrysalis/contracts';
import type pg from 'pg';

export const nameVms = async (
  tx: pg.PoolClient,
  { jti, vms }: Pick<GrantClaims, 'jti' | 'vms'>,
  expiresAt: string,
  at: string,
): Promise<void> => {
  await tx.query(
    `insert into agent_gateway.grant_vms (vm_id, grant_id, expires_at, registered_at)
     select unnest($1::text[]), $2, $3, $4 on conflict do nothing`,
    [[...new Set(vms)], jti, expiresAt, at],
  );
};

/** Newest first. Expired ones too: they say why, and an undo may still need them. */
export const grantsOfVm = async (tx: pg.PoolClient, vmId: string, now: string): Promise<string[]> => {
  const { rows } = await tx.query<{ grant_id: string }>(
    `select grant_id from agent_gateway.grant_vms where vm_id = $1
     order by (expires_at > $2) desc, registered_at desc, grant_id desc limit 16`,
    [vmId, now],
  );
  return rows.map((r) => r.grant_id);
};
