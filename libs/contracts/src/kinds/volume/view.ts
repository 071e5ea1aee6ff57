import { z } from 'zod';
import { Cause, Name, PoolId } from '../../shapes.ts';
import { Row } from '../../views/rows.ts';
import { VolumeAction, VolumeSizeMiB, volumeStates } from './shapes.ts';

export const Volume = Row.extend({
  volumeId: z.string(),
  name: Name,
  tenant: Name,
  state: z.enum(volumeStates),
  stateBefore: z.enum(volumeStates).optional().describe('before it was being deleted'),
  pool: Name,
  poolId: PoolId.optional().describe('which pool of that name, where hosts say so'),
  from: z
    .object({ image: z.string().optional(), volumeId: z.string().optional() })
    .optional()
    .describe('what it was made of; absent: blank'),
  hostId: Name.optional().describe('of a pool that this host alone sees'),
  sizeMiB: VolumeSizeMiB,
  operation: z.string(),
  vmId: z.string().optional().describe('that has it'),
  seen: z.boolean().optional().describe('whether the guest of that VM was seen to show it'),
  action: z.object({ action: VolumeAction, operation: z.string() }).optional().describe('under way'),
  cause: Cause.optional().describe('why it could not be made, or the last operation on it did not come to its end'),
}).meta({ id: 'Volume' });
export type Volume = z.infer<typeof Volume>;
