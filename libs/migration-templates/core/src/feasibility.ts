import { type Amounts, amountsOf, type Blocker, type Code, namedDisksOf, resources, type VmTypeSpec } from '@chrysalis/contracts';
import { blocker } from './blockers.ts';
import type { KnownHost, KnownVm } from './known.ts';

/** What a morph adds to the VM's hold on its own host: the growth of each resource, never below zero. */
export const increase = (from: VmTypeSpec, to: VmTypeSpec): Amounts => {
  const [a, b] = [amountsOf(from), amountsOf(to)];
  return {
    vcpu: Math.max(0, b.vcpu - a.vcpu),
    memoryMiB: Math.max(0, b.memoryMiB - a.memoryMiB),
    diskMiB: Math.max(0, b.diskMiB - a.diskMiB),
  };
};

/** The hold a move takes on its target: all of the type elsewhere, the difference at home. */
export const holdOf = (vm: KnownVm, target: VmTypeSpec, hostId: string): Amounts =>
  hostId === vm.hostId ? increase(vm.spec, target) : amountsOf(target);

export const capacityBlockers = (host: KnownHost, wanted: Amounts, free: Amounts = host.free): Blocker[] =>
  resources.flatMap((r) =>
    wanted[r] > free[r]
      ? [
          blocker(
            'host.capacity_exceeded',
            host.hostId,
            `${r}: ${wanted[r]} wanted, ${free[r]} free on ${host.hostId}`,
            `free ${wanted[r] - free[r]} of ${r} on ${host.hostId}`,
          ),
        ]
      : [],
  );

/** Lost is not dead: its VMs may run on, but nobody can tell it to do anything. */
export const awayBlocker = (hostId: string, why: string): Blocker =>
  blocker('host.agent_away', hostId, `the agent of ${hostId} is not connected: ${why}`, `bring ${hostId} back, or choose another host`);

/** Every reason why this host cannot take the VM as this type by a live move: what QEMU would accept silently and break on later. */
export const hostBlockers = (
  vm: KnownVm,
  target: VmTypeSpec,
  host: KnownHost,
  source: KnownHost | undefined,
  free: Amounts = host.free,
): Blocker[] => {
  const { facts, hostId } = host;
  const kept = new Set(target.disks.map((d) => d.id));
  const out: Blocker[] = [];
  const add = (code: Code, message: string, remedy: string): void => void out.push(blocker(code, hostId, message, remedy));
  for (const end of [host, source]) if (end?.away !== undefined) out.push(awayBlocker(end.hostId, end.away));
  if (host.state !== 'enabled') add('host.not_enabled', `${hostId} is ${host.state}`, `enable ${hostId}`);
  if (source && facts.driver !== source.facts.driver)
    add(
      'host.driver_differs',
      `${hostId} runs ${facts.driver}, the VM's host ${source.facts.driver}`,
      'choose a host with the same hypervisor',
    );
  if (!facts.cpuModels.includes(vm.topology.cpuModel))
    add(
      'host.cpu_model_missing',
      `${hostId} cannot give the CPU model ${vm.topology.cpuModel}`,
      `choose a host that offers ${vm.topology.cpuModel}`,
    );
  if (!facts.machineTypes.includes(vm.topology.machine))
    add(
      'host.machine_type_missing',
      `${hostId} has no machine type ${vm.topology.machine}`,
      `choose a host that has ${vm.topology.machine}`,
    );
  for (const trait of target.requiredTraits.filter((t) => !facts.traits.includes(t)))
    add('host.trait_missing', `${hostId} lacks the trait ${trait}`, `choose a host with ${trait}`);
  for (const network of new Set(target.nics.map((n) => n.network)))
    if (!facts.networks.includes(network))
      add('host.network_missing', `${hostId} is not on the network ${network}`, `connect ${hostId} to ${network}`);
  for (const pool of new Set(
    namedDisksOf(vm.topology)
      .filter((d) => kept.has(d.id))
      .map((d) => d.pool),
  ))
    if (!facts.storagePools.includes(pool))
      add('host.pool_missing', `${hostId} does not reach the storage pool ${pool}`, `attach ${pool} to ${hostId}`);
  return [...out, ...capacityBlockers(host, holdOf(vm, target, hostId), free)];
};
