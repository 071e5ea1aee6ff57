import { Membership } from './membership.ts';

type Shared = { readonly membership: Membership; readonly repairs: Set<() => Promise<void>> };
const byConnection = new Map<string, Shared>();

/**
 * All embedded buses of a process over one database share one membership: one connection for locks and notifications instead of one
 * for each service, and publishing wakes the readers of the others without going through PostgreSQL.
 */
export const shareMembership = (
  connectionString: string,
  repair: () => Promise<void>,
): { membership: Membership; leave(): Promise<void> } => {
  let shared = byConnection.get(connectionString);
  if (!shared) {
    const repairs = new Set<() => Promise<void>>();
    const repairAll = async (): Promise<void> => {
      for (const one of repairs) await one();
    };
    shared = { membership: new Membership(connectionString, repairAll), repairs };
    byConnection.set(connectionString, shared);
  }
  const { membership, repairs } = shared;
  repairs.add(repair);
  const leave = async (): Promise<void> => {
    repairs.delete(repair);
    if (repairs.size > 0) return;
    byConnection.delete(connectionString);
    await membership.close();
  };
  return { membership, leave };
};
