import {
  amountsOf,
  firmwareOf,
  disksOf,
  type Amounts,
  isVolumeFile,
  memoryMiBOf,
  segmentMtuOf,
  vcpusOf,
  type InputOf,
  type resourceAllocationTasks,
  type RoomWanted,
  type Topology,
  type VmTypeSpec,
} from '@chrysalis/contracts';
import type { HardwareRequest, PlacementRequest } from './types.ts';

/** What hardware asks of the host it moves to; `topology` is as it arrives there. The same for a plan, for its hold and for the host itself. */
export const hardwareRequest = (topology: Topology, { requiredTraits }: Pick<VmTypeSpec, 'requiredTraits'>): HardwareRequest => ({
  cpuModel: topology.cpuModel,
  machine: topology.machine,
  traits: requiredTraits,
  networks: [...new Set(topology.nics.filter((n) => !n.segment).map((n) => n.network))],
  ...segmentMtuOf(topology.nics),
  ...firmwareOf(topology.image),
  pools: [...new Set(topology.disks.map((d) => d.pool))],
});

/** Which pool the host that a VM is on means by a name. */
type PoolIds = (pool: string) => string | undefined;

/**
 * What its own disks take in pools once it is of this type: those that it has with it, of which a type may make some larger. Volumes hold room
 * for themselves, and what is read-only is a seed or a package, which counts for nothing. `from`: the pools that they are in now, where known.
 */
export const roomOf = ({ disks }: Topology, target: Pick<VmTypeSpec, 'disks'>, from: PoolIds = () => undefined): RoomWanted[] => {
  const room = new Map<string, { sizeMiB: number; hasMiB: number }>();
  for (const d of disks) {
    if (d.readOnly || isVolumeFile(d.volume)) continue;
    const { sizeMiB, hasMiB } = room.get(d.pool) ?? { sizeMiB: 0, hasMiB: 0 };
    const wanted = Math.max(d.sizeMiB, target.disks.find((t) => t.id === d.id)?.sizeMiB ?? 0);
    room.set(d.pool, { sizeMiB: sizeMiB + wanted, hasMiB: hasMiB + d.sizeMiB });
  }
  return [...room].map(([pool, sizes]) => {
    const poolId = from(pool);
    return { pool, ...sizes, ...(poolId === undefined ? {} : { from: poolId }) };
  });
};

/**
 * What a VM holds once it is of this type: what its hardware has beyond the type (CPUs that are offlined, disks that do not shrink) is given by
 * the host still.
 */
export const amountsAfter = (topology: Topology, target: VmTypeSpec): Amounts => {
  const { disks, image } = topology;
  const larger = disksOf(target, image).reduce(
    (sum, d) => sum + Math.max(0, (disks.find((x) => x.id === d.id)?.sizeMiB ?? 0) - d.sizeMiB),
    0,
  );
  const amounts = amountsOf(target, image);
  const [vcpu, memoryMiB] = [Math.max(amounts.vcpu, vcpusOf(topology)), Math.max(amounts.memoryMiB, memoryMiBOf(topology))];
  return { vcpu, memoryMiB, diskMiB: amounts.diskMiB + larger };
};

/** A VM that is there already, and is to be of this type in the end. */
export const moveRequest = (vmId: string, topology: Topology, target: VmTypeSpec, from?: PoolIds): PlacementRequest => ({
  ...hardwareRequest(topology, target),
  vmId,
  consumer: 'move',
  amounts: amountsAfter(topology, target),
  room: roomOf(topology, target, from),
});

/** From the task that holds. */
export const requestOf = ({ consumer, ...rest }: InputOf<typeof resourceAllocationTasks.place>): PlacementRequest => ({
  ...rest,
  consumer: consumer.kind,
});
