import { z } from 'zod';
import { PoolRoom, PoolSettings } from '../pools.ts';
import { PoolConsumer } from '../resource-allocation.ts';
import { Count, Name, PoolId } from '../shapes.ts';
import { Row } from './rows.ts';

export const PoolHold = Row.extend({
  poolId: PoolId,
  consumer: PoolConsumer,
  vmId: z.string().optional(),
  sizeMiB: Count.optional().describe('of a move that ended by becoming its VM’s: absent'),
  state: z.enum(['held', 'released']),
  since: z.string(),
  reason: z.string().optional(),
}).meta({ id: 'PoolHold' });

export const Pool = Row.extend({
  poolId: PoolId,
  name: Name.describe('what the host that told of it first calls it'),
  kind: Name,
  ...PoolRoom.shape,
  settings: PoolSettings,
  capacityMiB: Count.describe('what may be promised in all, by its room and settings'),
  heldMiB: Count.describe('what is promised: to disks of VMs, volumes and moves'),
  unpromisedMiB: z.int().describe('below 0 where more is held than may be promised now'),
  hosts: z.array(Name).describe('that have it; counted once, however many'),
  seenAt: z.string().describe('when its room was told last: what changes is told within a minute or so, by a 64th of it at once'),
  reason: z.string().optional().describe('of its settings'),
  holds: z.array(PoolHold).optional().describe('who holds what in it, as far as the caller may see; left out of lists'),
}).meta({ id: 'Pool' });
export type Pool = z.infer<typeof Pool>;

/** A pool after a command, as its owner has it. */
export const PoolDecided = z
  .object({ poolId: PoolId, name: Name, settings: PoolSettings, capacityMiB: Count, heldMiB: Count, version: Count })
  .meta({ id: 'PoolDecided' });
