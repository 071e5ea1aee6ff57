import { ownFiles, type HypervisorDriver } from '@chrysalis/hypervisor';
import type { PoolPlaces } from '../config.ts';

type File = { readonly pool: string; readonly volume: string };

/**
 * Ends a VM's process on this host when the VM itself lives elsewhere. Its volumes in a pool that other hosts see are the VM's, and
 * stay; those in this host's own pools are copies that nobody uses any more. `known`: its files, where an earlier life of the agent ended its
 * process, or never got to start it.
 */
export const removeFromHost = async (driver: HypervisorDriver, pools: PoolPlaces, vmId: string, known: readonly File[]): Promise<void> => {
  const files = driver.list().includes(vmId) ? ownFiles((await driver.status(vmId)).topology) : known;
  await driver.destroy(vmId, { deleteVolumes: false });
  for (const { pool, volume } of files) if (pools[pool]?.shared === false) await driver.deleteVolume(pool, volume);
};
