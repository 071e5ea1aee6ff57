import type { RouteDoc } from '@chrysalis/service-kit';
import { z } from 'zod';

const Row = z.looseObject({ version: z.int().describe('of the stream; also the ETag'), createdAt: z.string(), updatedAt: z.string() });
const PageOf = z.object({
  items: z.array(Row),
  next: z.string().optional().describe('the `cursor` of the next page; absent on the last one'),
});

export const listDoc = (summary: string, query: Readonly<Record<string, string>> = {}): RouteDoc => ({
  summary,
  query: { limit: 'At most so many, 1 to 1000; 100 unless told', cursor: 'The `next` of the page before', ...query },
  answers: { 200: PageOf },
});
export const oneDoc = (summary: string): RouteDoc => ({
  summary,
  answers: { 200: Row, 304: 'Unchanged since the version in `If-None-Match`' },
});

export const Operation = z.looseObject({
  id: z.string(),
  kind: z.enum(['workflow', 'migration']),
  name: z.string(),
  subject: z.string().describe('what it is about: a VM, a move, a query'),
  state: z.enum(['queued', 'running', 'succeeded', 'undone', 'failed', 'stopped']),
  summary: z.string(),
  progress: z.object({ done: z.int(), total: z.int(), unit: z.string() }),
  cause: z.object({ code: z.string(), message: z.string() }).optional(),
});
