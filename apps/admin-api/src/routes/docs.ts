import { pageQuery, type QueryParameter, type RouteDoc } from '@chrysalis/service-kit';
import { z } from 'zod';

const Row = z.looseObject({ version: z.int().describe('of the stream; also the ETag'), createdAt: z.string(), updatedAt: z.string() });
const PageOf = z.object({
  items: z.array(Row),
  next: z.string().optional().describe('the `cursor` of the next page; absent on the last one'),
});

export const listDoc = (summary: string, query: Readonly<Record<string, QueryParameter>> = {}): RouteDoc => ({
  summary,
  query: { ...pageQuery, ...query },
  answers: { 200: PageOf },
});
/** One of these, or `all`. */
export const oneOf = (values: readonly string[], description: string): QueryParameter =>
  z.enum(['all', ...values]).describe(`${description}: ${values.join(', ')}, or all`);

export const oneDoc = (summary: string): RouteDoc => ({
  summary,
  answers: { 200: Row, 304: 'Unchanged since the version in `If-None-Match`' },
});

/** An event as the feed has it. */
export const FeedEntry = z.looseObject({
  position: z.string(),
  id: z.string(),
  type: z.string(),
  stream: z.string(),
  version: z.int(),
  at: z.string(),
  data: z.unknown(),
});

export const WorkflowGraph = z.looseObject({
  workflowId: z.string(),
  state: z.string(),
  version: z.int().describe('of the stream; also the ETag'),
  tasks: z.array(z.looseObject({ name: z.string(), state: z.string() })),
  source: z.enum(['workflow', 'read-models']),
});

export const Standing = z
  .object({ summary: z.string(), left: z.array(z.string()), next: z.array(z.string()).describe('commands that take it on') })
  .describe('where it stands, if it came to no good end and something is left');

export const Operation = z.looseObject({
  id: z.string(),
  kind: z.enum(['workflow', 'migration']),
  name: z.string(),
  subject: z.string().describe('what it is about: a VM, a move, a query'),
  state: z.enum(['queued', 'running', 'succeeded', 'undone', 'failed', 'stopped']),
  summary: z.string(),
  progress: z.object({ done: z.int(), total: z.int(), unit: z.string() }),
  cause: z.object({ code: z.string(), message: z.string() }).optional(),
  standing: Standing.optional(),
});
