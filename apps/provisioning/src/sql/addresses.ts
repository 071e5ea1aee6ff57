import type { Queryable } from '@chrysalis/event-store';
import { MAC_TAILS, macOf, macTail, type MacTail } from '@chrysalis/provisioning-core';

/** How many taken addresses are passed over before it counts as full. */
const ATTEMPTS = 1000;

/**
 * A MAC that no other NIC has. The sequence goes round through all tails, so that an address given back is used again as late as
 * possible; where the next one is still taken, the one after. Undefined: none of the next thousand is free.
 */
export const takeMac = async (
  tx: Queryable,
  schema: string,
  nic: { vm: string; id: string; index: number },
): Promise<string | undefined> => {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const { rows } = await tx.query<{ n: string }>(`select nextval('${schema}.guest_address') - 1 as n`);
    const tail = macTail(Number(BigInt(rows[0]!.n) % BigInt(MAC_TAILS)));
    const { rowCount } = await tx.query(
      `insert into ${schema}.guest_addresses (fifth, sixth, vm, nic) values ($1, $2, $3, $4) on conflict (fifth, sixth) do nothing`,
      [tail.fifth, tail.sixth, nic.vm, nic.id],
    );
    if (rowCount === 1) return macOf(nic.index, tail);
  }
  return undefined;
};

/** That this NIC has already: of one whose attachment could not be undone. */
export const macOfNic = async (
  tx: Queryable,
  schema: string,
  nic: { vm: string; id: string; index: number },
): Promise<string | undefined> => {
  const { rows } = await tx.query<MacTail>(`select fifth, sixth from ${schema}.guest_addresses where vm = $1 and nic = $2`, [
    nic.vm,
    nic.id,
  ]);
  return rows[0] && macOf(nic.index, rows[0]);
};

/** Of one NIC alone. */
export const giveBackMac = async (tx: Queryable, schema: string, vm: string, nic: string): Promise<void> => {
  await tx.query(`delete from ${schema}.guest_addresses where vm = $1 and nic = $2`, [vm, nic]);
};

export const giveBackMacs = async (tx: Queryable, schema: string, vm: string): Promise<void> => {
  await tx.query(`delete from ${schema}.guest_addresses where vm = $1`, [vm]);
};
