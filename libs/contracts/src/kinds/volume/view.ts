import { z } from 'zod';
import { Cause, Name } from '../../shapes.ts';
import { Row } from '../../views/rows.ts';
import { VolumeSizeMiB, volumeStates } from './shapes.ts';

export const Volume = Row.extend({
  volumeId: z.string(),
  name: Name,
  tenant: Name,
  state: z.enum(volumeStates),
  pool: Name,
  hostId: Name.optional().describe('of a pool that this host alone sees'),
  sizeMiB: VolumeSizeMiB,
  operation: z.string(),
  cause: Cause.optional().describe('why it could not be made, or the last operation on it did not come to its end'),
}).meta({ id: 'Volume' });
export type Volume = z.infer<typeof Volume>;
