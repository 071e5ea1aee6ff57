import type { Queryable } from '@chrysalis/event-store';
import type { addresses } from '@chrysalis/provisioning-core';

type AddressRow = { readonly view: addresses.KnownAddress };

export const writeAddress = async (tx: Queryable, schema: string, address: addresses.KnownAddress): Promise<void> => {
  const { addressId, tenant, networkId, status, version } = address;
  await tx.query(
    `insert into ${schema}.addresses (id, tenant, network, address, status, version, view) values ($1, $2, $3, $4, $5, $6, $7)
     on conflict (id) do update set status = excluded.status, version = excluded.version, view = excluded.view`,
    [addressId, tenant, networkId, address.address, status, version, JSON.stringify(address)],
  );
};

/** Another tenant's address is not there; `tenant` undefined: whoever's it is. */
export const reservedAddressOf = async (
  db: Queryable,
  schema: string,
  tenant: string | undefined,
  id: string,
): Promise<addresses.KnownAddress | undefined> => {
  const { rows } = await db.query<AddressRow>(`select view from ${schema}.addresses where id = $1 and ($2::text is null or tenant = $2)`, [
    id,
    tenant ?? null,
  ]);
  return rows[0]?.view;
};

/** That it has, or may have. */
export const addressesOfVm = async (db: Queryable, schema: string, vm: string): Promise<addresses.KnownAddress[]> => {
  const { rows } = await db.query<AddressRow>(
    `select view from ${schema}.addresses where status = 'bound' and (view ->> 'vmId' = $1 or view ->> 'unsettled' = $1) order by id`,
    [vm],
  );
  return rows.map((r) => r.view);
};
