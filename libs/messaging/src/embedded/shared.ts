import { Membership } from './membership.ts';
import { Publications } from './publications.ts';

type Shared = { readonly membership: Membership; readonly publications: Publications; readonly repairs: Set<() => Promise<void>> };
const byConnection = new Map<string, Shared>();

/**
 * All embedded buses of a process over one database share one membership: one connection for locks and notifications instead of one
 * for each service, and publishing wakes the readers of the others without going through PostgreSQL.
 */
export const shareMembership = (
  connectionString: string,
  repair: () => Promise<void>,
): { membership: Membership; publications: Publications; leave(): Promise<void> } => {
  let shared = byConnection.get(connectionString);
  if (!shared) {
    const repairs = new Set<() => Promise<void>>();
    const repairAll = async (): Promise<void> => {
      for (const one of repairs) await one();
    };
    shared = { membership: new Membership(connectionString, repairAll), publications: new Publications(connectionString), repairs };
    byConnection.set(connectionString, shared);
  }
  const { membership, publications, repairs } = shared;
  repairs.add(repair);
  const leave = async (): Promise<void> => {
    repairs.delete(repair);
    if (repairs.size > 0) return;
    byConnection.delete(connectionString);
    await membership.close();
    await publications.close();
  };
  return { membership, publications, leave };
};
