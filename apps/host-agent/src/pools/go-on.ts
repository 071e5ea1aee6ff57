import type { HypervisorDriver } from '@chrysalis/hypervisor';
import type { Logger as Log } from '@chrysalis/service-kit/log';
import type { VmStates } from '../durable/vm-states.ts';
import { notInMove } from '../tasks/handler-context.ts';
import type { Pools } from './index.ts';

type Parts = {
  readonly driver: Pick<HypervisorDriver, 'status' | 'starved' | 'unpause'>;
  readonly states: Pick<VmStates, 'all'>;
  readonly log: Log;
};

/**
 * A guest whose write found no room stands still, as QEMU has it (`enospc`), and nothing of it is lost: the write is done again. Where all the
 * pools that its starved disks are in have room by now it goes on. Answers which did.
 */
export const goOn = async ({ driver, states, log }: Parts, pools: Pick<Pools, 'hasRoom'>): Promise<readonly string[]> => {
  const went: string[] = [];
  for (const state of states.all()) {
    if (state.role !== 'runner') continue;
    const { vmId } = state;
    try {
      const starved = await driver.starved(vmId);
      if (starved.length === 0) continue;
      notInMove(state);
      const { topology, migrating } = await driver.status(vmId);
      const of = topology.disks.filter((d) => starved.includes(d.id)).map((d) => d.pool);
      if (migrating || of.length === 0 || !of.every((pool) => pools.hasRoom(pool))) continue;
      await driver.unpause(vmId);
      log.info({ vmId, pools: of }, 'there is room again: the guest goes on');
      went.push(vmId);
    } catch (err) {
      log.debug({ vmId, err }, 'a guest that waits for room was not looked at; it is looked at again');
    }
  }
  return went;
};
