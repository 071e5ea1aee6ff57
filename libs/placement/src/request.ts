import { amountsOf, segmentMtuOf, type InputOf, type resourceAllocationTasks, type Topology, type VmTypeSpec } from '@chrysalis/contracts';
import type { HardwareRequest, PlacementRequest } from './types.ts';

/** What hardware asks of the host it moves to; `topology` is as it arrives there. The same for a plan, for its hold and for the host itself. */
export const hardwareRequest = (topology: Topology, { requiredTraits }: Pick<VmTypeSpec, 'requiredTraits'>): HardwareRequest => ({
  cpuModel: topology.cpuModel,
  machine: topology.machine,
  traits: requiredTraits,
  networks: [...new Set(topology.nics.filter((n) => !n.segment).map((n) => n.network))],
  ...segmentMtuOf(topology.nics),
  pools: [...new Set(topology.disks.map((d) => d.pool))],
});

/** A VM that is there already, and is to be of this type in the end. */
export const moveRequest = (vmId: string, topology: Topology, target: VmTypeSpec): PlacementRequest => ({
  ...hardwareRequest(topology, target),
  vmId,
  consumer: 'move',
  amounts: amountsOf(target, topology.image),
});

/** From the task that holds. */
export const requestOf = ({ consumer, ...rest }: InputOf<typeof resourceAllocationTasks.place>): PlacementRequest => ({
  ...rest,
  consumer: consumer.kind,
});
