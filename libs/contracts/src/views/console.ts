import { z } from 'zod';
import { Count, Id, Name } from '../shapes.ts';

/** What a guest wrote to its serial console: text as it came, and so with whatever a guest may write. */
export const ConsoleLog = z
  .object({
    vmId: Id,
    hostId: Name.describe('who told'),
    text: z.string().describe('bytes that are no UTF-8 are replaced'),
    bytes: Count.describe('of the text, as the guest wrote it'),
  })
  .meta({ id: 'ConsoleLog' });
export type ConsoleLog = z.infer<typeof ConsoleLog>;
