import { QemuDriver, type HypervisorDriver } from '@chrysalis/hypervisor';
import { join } from 'node:path';
import type { HostAgentConfig } from './config.ts';
import type { Guests } from './guests.ts';
import { imageStore } from './image-store.ts';
import { QemuGuests } from './qemu-guests.ts';

/** The hypervisor that the configuration names, and the way to its guests. */
export const createDriver = (config: HostAgentConfig): { driver: HypervisorDriver; guests: Guests } => {
  const driver = new QemuDriver({
    stateDir: join(config.stateDir, 'qemu'),
    address: config.address,
    pools: config.pools,
    networks: Object.fromEntries(
      Object.entries(config.networks).map(([name, bridge]) => [name, bridge === 'isolated' ? { kind: 'isolated' as const } : { kind: 'bridge' as const, bridge }]),
    ),
    resolveImage: imageStore(config.imageStore),
    ...(config.accelerator === 'auto' ? {} : { accelerator: config.accelerator }),
  });
  return { driver, guests: new QemuGuests(driver, config.pools) };
};
