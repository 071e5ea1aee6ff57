import { z } from 'zod';
import { MoveProgress } from '../agent-protocol.ts';
import { Cause, Count } from '../shapes.ts';
import { Row } from './rows.ts';

export const Standing = z
  .object({ summary: z.string(), left: z.array(z.string()), next: z.array(z.string()).describe('commands that take it on') })
  .meta({ id: 'Standing', description: 'where it stands, if it came to no good end and something is left' });
export type Standing = z.infer<typeof Standing>;

export const LastChange = z.object({ type: z.string(), actor: z.string(), reason: z.string(), at: z.string() });
/** What is known of the end of a workflow, and of what stands in its way. */
export const Ended = z.object({
  queuedAt: z.string().optional(),
  startedAt: z.string().optional(),
  deadlineAt: z.string().optional(),
  endedAt: z.string().optional(),
  cause: Cause.optional(),
  missing: z.array(z.string()).optional().describe('tasks that were not done, or whose effect is left'),
  failed: z.array(z.string()).optional().describe('whose run, or whose undo, failed for good'),
  output: z.unknown().optional(),
  paused: z.boolean().optional(),
  cancelRequested: z.string().optional(),
  lastChange: LastChange.optional(),
});

const Progress = z.object({ done: Count, total: Count, unit: z.string() });
export const operationStates = ['queued', 'running', 'succeeded', 'undone', 'failed', 'stopped', 'cancelled'] as const;
export const Operation = Row.extend({
  id: z.string(),
  kind: z.enum(['workflow', 'migration']),
  name: z.string(),
  subject: z.string().describe('what it is about: a VM, a move, a query'),
  state: z.enum(operationStates),
  summary: z.string(),
  phase: z.string().optional(),
  progress: Progress,
  moves: Progress.optional().describe('of a migration, whose progress is that of its moves’ tasks'),
  ...Ended.shape,
  standing: Standing.optional(),
}).meta({ id: 'Operation' });
export type Operation = z.infer<typeof Operation>;

/** As the owner of the operation answers: of a workflow with the version of its stream, of a migration with its id. */
export const CancelTaken = z.object({
  operation: z.string(),
  workflowId: z.string().optional(),
  migrationId: z.string().optional(),
  version: Count.optional(),
});

/** An event as the feed has it. */
export const FeedEntry = z
  .object({
    position: z.string(),
    id: z.string(),
    type: z.string(),
    stream: z.string(),
    version: Count,
    at: z.string(),
    tenant: z.string(),
    actor: z.string(),
    correlationId: z.string(),
    causationId: z.string().nullable(),
    data: z.unknown(),
  })
  .meta({ id: 'FeedEntry' });
export type FeedEntry = z.infer<typeof FeedEntry>;

/** One thing that happened in a move. `said`: what QEMU, an agent or a script said, as it came. */
export const LogLine = z
  .object({
    position: z.string(),
    at: z.string(),
    vmId: z.string().optional(),
    moveId: z.string().optional(),
    section: z.string().optional(),
    step: z.string().optional(),
    kind: z.string().optional(),
    attempt: Count.optional(),
    executor: z.string().optional(),
    level: z.enum(['info', 'warn', 'error']),
    message: z.string(),
    cause: Cause.optional(),
    said: z.unknown().optional(),
  })
  .meta({ id: 'LogLine' });
export type LogLine = z.infer<typeof LogLine>;
export const MigrationLog = z.object({ migrationId: z.string(), state: z.string(), items: z.array(LogLine) });

/** A sample of a running move; bytes, Mbit/s, dirty pages a second. */
export const MoveSample = MoveProgress.meta({ id: 'MoveSample' });
export type MoveSample = z.infer<typeof MoveSample>;
