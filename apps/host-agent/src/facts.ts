import type { HostFacts, HostPool } from '@chrysalis/contracts';
import type { HypervisorDriver } from '@chrysalis/hypervisor';
import type { HostAgentConfig } from './config.ts';

/** What the hypervisor can do, within what this host's configuration allows. */
export const hostFacts = async (driver: HypervisorDriver, config: HostAgentConfig, pools: readonly HostPool[]): Promise<HostFacts> => {
  const { cpuBlockers: _, ...facts } = await driver.facts();
  const local = Object.entries(config.pools).flatMap(([name, { shared }]) => (shared ? [] : [name]));
  const { hostId, address, place, traits, inventory, cpuModels, machineTypes } = config;
  const within = (can: readonly string[], may: readonly string[] | undefined): string[] =>
    can.filter((x) => may?.includes(x) ?? true).slice(0, 512);
  return {
    hostId,
    address,
    place,
    traits,
    inventory,
    ...facts,
    ...(local.length > 0 ? { localPools: local } : {}),
    copiesDisks: true,
    pools: [...pools],
    cpuModels: within(facts.cpuModels, cpuModels),
    machineTypes: within(facts.machineTypes, machineTypes),
  };
};
