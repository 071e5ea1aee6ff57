import { z } from 'zod';
import { Count } from '../shapes.ts';

/** What every row of a read model has. Times in views are ISO 8601, in UTC. */
export const Row = z.object({
  version: Count.describe('of the stream; also the ETag'),
  createdAt: z.string(),
  updatedAt: z.string(),
});

export const pageOf = <S extends z.ZodType>(item: S) =>
  z.object({ items: z.array(item), next: z.string().optional().describe('the `cursor` of the next page; absent on the last one') });
