import type { MoveDeps } from './deps.ts';
import { look } from './look.ts';

export type Cause = { readonly code: string; readonly message: string };

/**
 * Ends only when the guest runs here, or its QEMU is gone. The caller has made sure, on disk, that it may run here. A migration in
 * flight is cancelled; one that completed in the same moment is reclaimed; and what the hypervisor says is looked at again each time.
 */
export const bringBack = async (deps: MoveDeps, vmId: string): Promise<'running' | 'gone'> => {
  for (let attempt = 0; ; attempt++) {
    const seen = await look(deps.driver, vmId);
    if (seen !== 'unclear' && seen.running && !seen.migrating) return 'running';
    if (seen !== 'unclear' && seen.state === 'gone') {
      deps.log.error({ vmId, lastWords: seen.lastWords }, 'the guest to bring back is gone');
      return 'gone';
    }
    try {
      if (seen !== 'unclear') await (seen.migrating ? deps.driver.cancelMigration(vmId) : deps.driver.reclaim(vmId));
    } catch (error) {
      deps.log.warn({ vmId, attempt, err: error }, 'the guest is not back yet');
    }
    if (attempt > 0) await deps.sleep(Math.min(500, 10 * 2 ** Math.min(attempt, 10)));
  }
};
