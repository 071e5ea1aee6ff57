import { z } from 'zod';
import { Count, Name, Positive, Timestamp } from './shapes.ts';
import { Retry, Route, TaskDefinition, TaskName } from './workflow-definition.ts';

/** What an operator may change in an instance while it runs. Refused where it would rewrite what has happened. */
export const Change = z.discriminatedUnion('type', [
  /** `before`: tasks that have not begun and are to wait for it. */
  z.object({ type: z.literal('add-task'), task: TaskDefinition, before: z.array(Name).max(256).optional() }),
  z.object({ type: z.literal('duplicate-task'), task: Name, as: Name, route: Route.optional() }),
  z.object({ type: z.literal('skip-task'), task: TaskName }),
  /** Of a task that has not begun; `with` has its name. */
  z.object({ type: z.literal('replace-task'), task: Name, with: TaskDefinition }),
  /** What is left out stays. */
  z.object({
    type: z.literal('rewire'),
    task: Name,
    input: z.record(z.string(), z.unknown()).optional(),
    after: z.array(Name).max(256).optional(),
  }),
  /** An execution under way is superseded and begun anew there. */
  z.object({ type: z.literal('reassign'), task: TaskName, route: Route }),
  /** Without a task: the instance's own deadline, counted from its start. */
  z.object({
    type: z.literal('set-limits'),
    task: Name.optional(),
    deadlineMs: Positive.max(604_800_000).optional(),
    concurrency: Positive.max(10_000).optional(),
    retry: Retry.optional(),
    heartbeatMs: Positive.min(100).max(3_600_000).optional(),
    priority: z.int().min(0).max(9).optional(),
  }),
  /** Nothing new is given out; what is under way goes on, its deadlines too. */
  z.object({ type: z.literal('pause') }),
  z.object({ type: z.literal('resume') }),
  /** Runs it, and all that depends on it, again; a stopped instance goes on. */
  z.object({ type: z.literal('retry-from'), task: TaskName }),
  /** An operator did it by hand, and says what came of it. An execution under way is superseded. */
  z.object({ type: z.literal('mark-done'), task: TaskName, output: z.record(z.string(), z.unknown()) }),
]);
export type Change = z.infer<typeof Change>;

export const ChangeEffect = z.object({
  counts: z.object({ total: Count, succeeded: Count, skipped: Count, failed: Count, compensated: Count }),
  deadlineAt: Timestamp,
  again: z.array(TaskName).max(10_000).optional(),
});
export type ChangeEffect = z.infer<typeof ChangeEffect>;
