import type pg from 'pg';
import type { Outside } from './outside.ts';

/** What there is of VMs: processes, network interfaces and files of the hosts, holds of the ledger and in pools, addresses of guests. */
export type Inventory = Readonly<Record<'processes' | 'links' | 'files' | 'holds' | 'room' | 'addresses', readonly string[]>>;

export const takeInventory = async (outside: Outside, db: pg.ClientBase): Promise<Inventory> => {
  const { rows: holds } = await db.query<{ text: string }>(
    `select concat_ws(' ', host, consumer, vcpu, memory_mib, disk_mib) as text from resource_allocation.ledger order by 1`,
  );
  const { rows: room } = await db.query<{ text: string }>(
    `select concat_ws(' ', pool, consumer, size_mib) as text from resource_allocation.pool_holds order by 1`,
  );
  const { rows: addresses } = await db.query<{ text: string }>(
    `select concat_ws(' ', fifth, sixth, vm, nic) as text from provisioning.guest_addresses
     union all select concat_ws(' ', network, address, vm) from provisioning.network_addresses
     union all select concat_ws(' ', network, address, view ->> 'vmId') from provisioning.addresses where status <> 'deleted' order by 1`,
  );
  return {
    processes: [...outside.qemus(), ...outside.dnsmasqs()],
    links: [...(await outside.links()), ...(await outside.filters())],
    files: outside.files(),
    holds: holds.map((r) => r.text),
    room: room.map((r) => r.text),
    addresses: addresses.map((r) => r.text),
  };
};

/** What one has and the other has not, by kind: `+` where it came, `-` where it went. */
export const changes = (before: Inventory, after: Inventory): Record<keyof Inventory, string[]> => {
  const kinds = Object.keys(before) as (keyof Inventory)[];
  const of = (kind: keyof Inventory): string[] => [
    ...after[kind].filter((x) => !before[kind].includes(x)).map((x) => `+ ${x}`),
    ...before[kind].filter((x) => !after[kind].includes(x)).map((x) => `- ${x}`),
  ];
  return Object.fromEntries(kinds.map((kind) => [kind, of(kind)])) as Record<keyof Inventory, string[]>;
};
