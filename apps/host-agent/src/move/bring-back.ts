import type { MoveDeps } from './deps.ts';
import { look, type Seen } from './look.ts';

export type Cause = { readonly code: string; readonly message: string };
/** `ended`: the guest stands still, or its QEMU is gone, for a reason of its own, which is the cause. `gone`: for another. */
export type Place =
  { readonly is: 'running' } | { readonly is: 'ended'; readonly why: Cause } | { readonly is: 'gone'; readonly lastWords: string };

/** Here `cont` does nothing, or is not ours to say: the guest powered off, crashed, sleeps, or its disk is full. */
const ended: ReadonlySet<string> = new Set(['shutdown', 'guest-panicked', 'internal-error', 'io-error', 'watchdog', 'suspended']);

/**
 * Ends only when the guest runs here, or can't for a reason of its own. The caller has made sure, on disk, that it may run here. A
 * migration in flight is cancelled; one that completed in the same moment is reclaimed; and what the hypervisor says is looked at again
 * each time.
 */
export const bringBack = async (deps: MoveDeps, vmId: string): Promise<Place> => {
  for (let attempt = 0; ; attempt++) {
    const seen = await look(deps.driver, vmId);
    if (seen !== 'unclear' && !seen.migrating) {
      if (seen.running) return { is: 'running' };
      const place = standing(seen);
      if (place) return place;
    }
    try {
      if (seen !== 'unclear') await (seen.migrating ? deps.driver.cancelMigration(vmId) : deps.driver.reclaim(vmId));
    } catch (error) {
      deps.log.warn({ vmId, attempt, err: error }, 'the guest is not back yet');
    }
    if (attempt > 0) await deps.sleep(Math.min(500, 10 * 2 ** Math.min(attempt, 10)));
  }
};

const standing = ({ state, observed, lastWords }: Seen): Place | undefined => {
  const why = observed?.why;
  const own = why?.by === 'guest' || (why && state !== 'gone');
  if (ended.has(state) || (state === 'gone' && own))
    return { is: 'ended', why: own ? why : { code: 'host.guest_ended', message: `the guest is ${state}` } };
  return state === 'gone' ? { is: 'gone', lastWords: lastWords || 'no last words' } : undefined;
};

/** The failure of a move, with what has become of the guest: where it does not run, that is the cause that counts. */
export const causeWith = ({ code, message }: Cause, place: Place): Cause => {
  switch (place.is) {
    case 'running':
      return { code, message };
    case 'ended':
      return { code: place.why.code, message: `${place.why.message}; it was not moved (${message})` };
    case 'gone':
      return { code: 'host.guest_lost', message: `the QEMU of the source ended: ${place.lastWords} (${message})` };
  }
};
