import type { JWK } from 'jose';
import type pg from 'pg';

export const keepKey = async (tx: pg.PoolClient, tenant: string, kid: string, publicKeyJwk: JWK): Promise<void> => {
  await tx.query(`insert into agent_gateway.tenant_keys (tenant, kid, public_key_jwk) values ($1, $2, $3) on conflict do nothing`, [
    tenant,
    kid,
    JSON.stringify(publicKeyJwk),
  ]);
};

export const keysOf = async (tx: pg.PoolClient, kid: string): Promise<{ tenant: string; publicKeyJwk: JWK }[]> =>
  (
    await tx.query<{ tenant: string; publicKeyJwk: JWK }>(
      `select tenant, public_key_jwk as "publicKeyJwk" from agent_gateway.tenant_keys where kid = $1`,
      [kid],
    )
  ).rows;
