import { expect } from '@jest/globals';
import type { ServiceContext } from '@chrysalis/service-kit';

type Sums = Record<string, { vcpu: number; memory: number; disk: number }>;

type EventData = {
  hostId: string;
  moveId: string;
  vmId: string;
  consumer?: { kind: string; id: string };
  amounts: { vcpu: number; memoryMiB: number; diskMiB: number };
};

/**
 * I6, from the log alone and sharing no reducer with the product: per host, what the events add up to is what the ledger and `hosts`
 * say, and lies between nothing and capacity. One consumer holds on one host.
 */
export const allocationsAreConserved = async ({ pool, schema }: Pick<ServiceContext, 'pool' | 'schema'>): Promise<void> => {
  const { rows: events } = await pool.query<{ type: string; data: EventData }>(
    `select type, data from ${schema}.events where stream_id like 'host-%' order by stream_id, version`,
  );
  const holds = new Map<string, { host: string; vcpu: number; memoryMiB: number; diskMiB: number }>();
  for (const { type, data } of events) {
    const name = type.split('.').slice(2, 4).join('.');
    const consumer = `${data.consumer?.kind}:${data.consumer?.id}@${data.hostId}`;
    if (name === 'allocation.held') holds.set(consumer, { host: data.hostId, ...data.amounts });
    if (name === 'allocation.released') holds.delete(consumer);
    if (name === 'allocation.swapped') {
      expect(holds.delete(`move:${data.moveId}@${data.hostId}`)).toBe(true);
      holds.set(`vm:${data.vmId}@${data.hostId}`, { host: data.hostId, ...data.amounts });
    }
  }
  const consumers = [...holds.keys()].map((k) => k.split('@')[0]);
  expect(new Set(consumers).size).toBe(consumers.length);
  const { rows: ledger } = await pool.query<Record<string, string>>(
    `select consumer, host, vcpu, memory_mib, disk_mib from ${schema}.ledger`,
  );
  expect(new Map(ledger.map((r) => [`${r['consumer']}@${r['host']}`, amounts(r['vcpu'], r['memory_mib'], r['disk_mib'])]))).toEqual(
    new Map([...holds].map(([k, h]) => [k, amounts(h.vcpu, h.memoryMiB, h.diskMiB)])),
  );
  const sums: Sums = {};
  for (const h of holds.values()) {
    const sum = (sums[h.host] ??= { vcpu: 0, memory: 0, disk: 0 });
    sum.vcpu += h.vcpu;
    sum.memory += h.memoryMiB;
    sum.disk += h.diskMiB;
  }
  const { rows: hosts } = await pool.query<Record<string, string>>(`select * from ${schema}.hosts`);
  for (const h of hosts) {
    const held = amounts(h['vcpu_held'], h['memory_mib_held'], h['disk_mib_held']);
    const sum = sums[h['host']!] ?? { vcpu: 0, memory: 0, disk: 0 };
    expect({ host: h['host'], ...held }).toEqual({ host: h['host'], ...amounts(sum.vcpu, sum.memory, sum.disk) });
    const total = amounts(h['vcpu_capacity'], h['memory_mib_capacity'], h['disk_mib_capacity']);
    for (const r of ['vcpu', 'memory', 'disk'] as const) expect(held[r]).toBeLessThanOrEqual(total[r]);
  }
};

const amounts = (vcpu: unknown, memory: unknown, disk: unknown) => ({ vcpu: Number(vcpu), memory: Number(memory), disk: Number(disk) });
