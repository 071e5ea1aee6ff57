import type { Queryable } from '@chrysalis/event-store';
import { networkEvents, type NetworkEvent } from '@chrysalis/contracts';
import type { networks } from '@chrysalis/provisioning-core';

export type NetworkRow = { readonly networkId: string; readonly tenant: string; readonly status: 'active' | 'deleted' };

/** Of its addresses those that changed: a network may have thousands. */
export const writeNetwork = async (
  tx: Queryable,
  schema: string,
  { networkId, tenant, status, version, subnet }: networks.KnownNetwork,
  events: readonly NetworkEvent[],
): Promise<void> => {
  await tx.query(
    `insert into ${schema}.networks (network, tenant, status, version, subnet) values ($1, $2, $3, $4, $5)
     on conflict (network) do update set status = excluded.status, version = excluded.version`,
    [networkId, tenant, status, version, subnet],
  );
  for (const e of events) {
    if (e.type === networkEvents.networkAddressGiven.type)
      await tx.query(`insert into ${schema}.network_addresses (network, address, vm) values ($1, $2, $3)`, [networkId, e.data.address, e.data.vmId]); // prettier-ignore
    if (e.type === networkEvents.networkAddressReturned.type)
      await tx.query(`delete from ${schema}.network_addresses where network = $1 and address = $2`, [networkId, e.data.address]);
  }
};

/** Another tenant's network is not there; `tenant` undefined: whoever's it is. */
export const networkOf = async (
  db: Queryable,
  schema: string,
  tenant: string | undefined,
  network: string,
): Promise<NetworkRow | undefined> => {
  const { rows } = await db.query<NetworkRow>(
    `select network as "networkId", tenant, status from ${schema}.networks where network = $1 and ($2::text is null or tenant = $2)`,
    [network, tenant ?? null],
  );
  return rows[0];
};

/** The tenant's network that has a part of this subnet. Two at once wait for each other here, until the first has ended. */
export const overlapping = async (
  tx: Queryable,
  schema: string,
  tenant: string,
  subnet: string,
): Promise<{ readonly networkId: string; readonly subnet: string } | undefined> => {
  await tx.query(`select pg_advisory_xact_lock(hashtextextended($1, 0))`, [`subnets of ${tenant}`]);
  const { rows } = await tx.query<{ networkId: string; subnet: string }>(
    `select network as "networkId", subnet::text from ${schema}.networks
     where tenant = $1 and status <> 'deleted' and subnet && $2::inet order by network limit 1`,
    [tenant, subnet],
  );
  return rows[0];
};

/** That no other network has, had or will have. Undefined: all are taken. */
export const takeVni = async (tx: Queryable, schema: string): Promise<number | undefined> => {
  const { rows } = await tx.query<{ n: string }>(`select nextval('${schema}.network_vni') as n`);
  const vni = Number(rows[0]!.n);
  return vni <= 16_777_215 ? vni : undefined;
};

export const networksOfVm = async (db: Queryable, schema: string, vm: string): Promise<{ networkId: string; tenant: string }[]> => {
  const { rows } = await db.query<{ networkId: string; tenant: string }>(
    `select a.network as "networkId", n.tenant from ${schema}.network_addresses a join ${schema}.networks n using (network)
     where a.vm = $1 order by a.network`,
    [vm],
  );
  return rows;
};

/** Ten of those on the network whose creation failed. */
export const failedOn = async (db: Queryable, schema: string, network: string): Promise<string[]> => {
  const { rows } = await db.query<{ vm: string }>(
    `select a.vm from ${schema}.network_addresses a join ${schema}.vms v using (vm)
     where a.network = $1 and v.status = 'failed' order by a.vm limit 10`,
    [network],
  );
  return rows.map((r) => r.vm);
};
