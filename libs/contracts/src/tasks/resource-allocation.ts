import { z } from 'zod';
import { task } from '../define.ts';
import { Consumer } from '../resource-allocation.ts';
import { Mtu } from '../segment.ts';
import { Amounts, Count, Id, Name, Positive, Timestamp } from '../shapes.ts';
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
      pools: z.array(Name),
      machine: z.string().optional(),
      host: Name.optional(),
      notHost: Name.optional(),
    }),
    z.object({ hostId: Name, address: z.string(), generation: Count }),
  ),
  findHost: task(
    'resource-allocation',
    'allocation.find-host',
    'Choose a host that reaches a storage pool; nothing is held there',
    /** `fresh`: it is to be given something new, so a host that takes nothing new is passed over. */
    z.object({ pool: Name, host: Name.optional(), fresh: z.boolean() }),
    z.object({ hostId: Name }),
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
    z.object({ moveId: Id, vmId: Id, fromHost: Name, toHost: Name, amounts: Amounts }),
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
