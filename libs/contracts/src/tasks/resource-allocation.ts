import { z } from 'zod';
import { task } from '../define.ts';
import { Consumer } from '../resource-allocation.ts';
import { Mtu } from '../segment.ts';
import { PoolAllocation, RoomWanted } from '../pools.ts';
import { Amounts, Count, Id, Name, PoolId, Positive, Timestamp } from '../shapes.ts';
import { none } from './common.ts';
import { LeftThere } from './migration-templates.ts';

export const resourceAllocationTasks = {
  place: task(
    'resource-allocation',
    'allocation.place',
    'Choose a host and hold the amounts there for a consumer',
    z.object({
      consumer: Consumer,
      vmId: Id,
      amounts: Amounts,
      cpuModel: z.string(),
      traits: z.array(z.string()),
      networks: z.array(Name),
      /** It has NICs on segments that span hosts; the largest MTU of those. */
      segmentMtu: Mtu.optional(),
      /** What it boots by, where that is not BIOS. */
      firmware: z.literal('uefi').optional(),
      pools: z.array(Name),
      machine: z.string().optional(),
      host: Name.optional(),
      notHost: Name.optional(),
      /** What its own disks take in pools, which is held there; of pools that no host tells the room of nothing is. */
      room: z.array(RoomWanted).max(32).optional(),
    }),
    /** `allocation`: how the files of its disks are made; absent: thin. */
    z.object({ hostId: Name, address: z.string(), generation: Count, allocation: PoolAllocation.optional() }),
  ),
  findHost: task(
    'resource-allocation',
    'allocation.find-host',
    'Choose a host that reaches a storage pool; nothing is held there',
    /** `fresh`: it is to be given something new, so a host that takes nothing new is passed over. */
    z.object({ pool: Name, poolId: PoolId.optional(), host: Name.optional(), fresh: z.boolean() }),
    z.object({ hostId: Name }),
  ),
  holdRoom: task(
    'resource-allocation',
    'allocation.hold-room',
    'Choose a host that reaches a storage pool, and hold room for a volume there: so much, whatever it held before',
    z.object({
      volumeId: Id,
      sizeMiB: Positive,
      pool: Name,
      /** This one of that name, where the volume is there already. */
      poolId: PoolId.optional(),
      /** The host reaches that one as well: what it is copied from is there. */
      also: z.object({ pool: Name, poolId: PoolId.optional() }).optional(),
      host: Name.optional(),
      fresh: z.boolean(),
    }),
    z.object({ hostId: Name, poolId: PoolId.optional(), allocation: PoolAllocation.optional() }),
  ),
  releaseRoom: task(
    'resource-allocation',
    'allocation.release-room',
    'What a volume holds in its pool ends, or is so much again',
    z.object({ volumeId: Id, toMiB: Count, reason: z.string() }),
    none,
  ),
  release: task(
    'resource-allocation',
    'allocation.release',
    'End every hold of a consumer',
    z.object({ consumer: Consumer, vmId: Id, reason: z.string() }),
    none,
  ),
  swap: task(
    'resource-allocation',
    'allocation.swap',
    "The move's hold becomes the VM's, and the VM's hold on the source ends, in one commit",
    z.object({ moveId: Id, vmId: Id, fromHost: Name, toHost: Name, amounts: Amounts, room: z.array(RoomWanted).max(32).optional() }),
    none,
  ),
  /**
   * With `expectEmpty` it fails while anything, also a move, holds there; with `expectClosed` while the host takes new VMs, for then it
   * never is empty for good. `left` is what is known of who holds, for the words of the failure.
   */
  listOnHost: task(
    'resource-allocation',
    'allocation.list-on-host',
    'The VMs that hold on a host, by id; where that is expected, fails while anything holds there, or while it takes new VMs',
    z.object({
      hostId: Name,
      limit: Positive.max(1000).optional(),
      expectEmpty: z.boolean().optional(),
      expectClosed: z.boolean().optional(),
      left: z.array(LeftThere).optional(),
    }),
    z.object({ vmIds: z.array(Id), more: z.boolean(), generation: Count.optional() }),
  ),
  auditHolds: task(
    'resource-allocation',
    'allocation.audit-holds',
    'Holds whose VM or move has ended, or was never heard of. Reports only: nothing is touched',
    z.object({ minAgeMs: Count.optional(), limit: Positive.max(1000).optional() }),
    z.object({
      checked: Count,
      more: z.boolean(),
      findings: z.array(
        z.object({
          consumer: z.string(),
          hostId: Name,
          vmId: Id,
          amounts: Amounts,
          why: z.enum(['owner_ended', 'owner_unknown']),
          since: Timestamp,
          ageMs: Count,
        }),
      ),
    }),
  ),
} as const;
