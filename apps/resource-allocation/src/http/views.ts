import type { Amounts } from '@chrysalis/contracts';
import { capacityOf, free } from '@chrysalis/placement';
import type { HostRow } from '../sql/hosts.ts';

/** A host as the API shows it: its facts, and what is held and free by the one function that says so. */
export const hostView = (row: HostRow) => {
  const { hostId, ...facts } = row.facts;
  const held: Amounts = { vcpu: Number(row.vcpu_held), memoryMiB: Number(row.memory_mib_held), diskMiB: Number(row.disk_mib_held) };
  return {
    id: hostId,
    ...facts,
    state: row.state,
    connected: row.connected,
    version: row.version,
    capacity: capacityOf(row.facts),
    held,
    free: free(row.facts, held),
  };
};
