import { z } from 'zod';
import { taskGroups } from './define.ts';
import { Count, Name, Positive } from './shapes.ts';

export const Retry = z.object({
  attempts: Positive.max(20),
  backoffMs: Count.max(600_000),
  maxBackoffMs: Count.max(3_600_000).optional(),
  /** Only these codes are retried; absent: every failure that the executor calls retriable. */
  codes: z.array(z.string().max(128)).max(64).optional(),
});

export const awardRules = ['lowest-cost', 'spread', 'affinity'] as const;

export const Route = z.discriminatedUnion('mode', [
  /** To the members of a service's group: any instance takes it. */
  z.object({ mode: z.literal('group'), group: z.enum(taskGroups) }),
  /** To one executor, `host:<id>`; the group is the one that can reach it. `executor` may be a reference. */
  z.object({ mode: z.literal('direct'), group: z.enum(taskGroups), executor: z.string().max(255) }),
  /**
   * Offered to the executors of the group that run the kind and bear every label; each may bid until the window closes, and the rule names
   * the winner: `lowest-cost`; `spread`: who has fewest of this workflow's tasks; `affinity`: the named executor if it bids. Among equals
   * the cheaper, then the freer one. An executor that lost rank comes after all that did not.
   */
  z.object({
    mode: z.literal('bid'),
    group: z.enum(taskGroups),
    labels: z.record(Name, z.string().max(255)).optional(),
    windowMs: Positive.max(60_000),
    award: z.enum(awardRules),
    /** `host:<id>`, may be a reference; for the rule `affinity`. */
    near: z.string().max(255).optional(),
    /** An award that has not begun by then has lapsed, and the task is offered anew. */
    beginWithinMs: Positive.max(600_000),
    /** How often it is offered in a row where nobody bids. */
    offers: Positive.max(100),
    /** Without any bid after that: this executor is told to do it; absent: the task fails with `workflow.no_bid`. */
    otherwise: z.string().max(255).optional(),
  }),
]);
export type Route = z.infer<typeof Route>;

export const sections = [
  'prepare',
  'pre-migration',
  'hot-unplug',
  'migration',
  'mid-migration',
  'hot-plug',
  'post-migration',
  'verify',
] as const;
export const Section = z.enum(sections);
export type Section = z.infer<typeof Section>;

/** A task as it is named in events: of the template, or `<task>.<n>`, the n-th item (from 0) of a `forEach`. */
export const TaskName = z.string().regex(/^[a-z][a-z0-9-]{0,62}(\.(0|[1-9][0-9]{0,4}))?$/);

/**
 * Inputs hold JSON with references: `${params.x.y}` and `${tasks.name.output.z}`, in a `forEach` also `${item.x}` and `${index}`, in a compensation
 * `${executor}` (who ran the task; where several were given it, the undo goes to each in turn); a string that is one reference takes the value's type.
 * Any other `${` is a fault: text of people (scripts) goes in as a param, or through `literal`.
 */
export const TaskDefinition = z.object({
  name: Name,
  kind: z.string().regex(/^[a-z-]+\.[a-z-]+$/),
  summary: z.string().max(255),
  section: Section.optional(),
  input: z.record(z.string(), z.unknown()),
  after: z.array(Name).max(256).optional(),
  /** CEL over `params` and `tasks`; false skips the task. */
  when: z.string().max(1024).optional(),
  retry: Retry.optional(),
  deadlineMs: Positive.max(86_400_000),
  /** Without a word from the executor for so long, the attempt has failed: `workflow.heartbeat_missed`. */
  heartbeatMs: Positive.min(100).max(3_600_000).optional(),
  /** 0 (last) to 9 (first) among the tasks that are ready; 5 where it is absent. */
  priority: z.int().min(0).max(9).optional(),
  /**
   * One execution per item; `items` is a reference to an array, `concurrency` how many at a time. Input, executor and condition may then
   * say `${item.x}` and `${index}` (CEL: `item`, `index`). The task's own output is `{ count, items: [outputs in order] }`.
   */
  forEach: z.object({ items: z.string().max(512), concurrency: Positive.max(10_000) }).optional(),
  /** Running it twice at the same time does no harm: what `hedge` asks for. */
  idempotent: z.boolean().optional(),
  /** A second execution beside the first, once that has taken `afterMs`, or `factor` times the usual (p95 of earlier runs). The first result counts. */
  hedge: z.object({ afterMs: Positive.max(86_400_000).optional(), factor: z.number().min(1).max(100).optional() }).optional(),
  route: Route,
  compensation: z
    .object({
      kind: z.string().regex(/^[a-z-]+\.[a-z-]+$/),
      input: z.record(z.string(), z.unknown()),
      deadlineMs: Positive.max(86_400_000),
      retry: Retry.optional(),
      route: Route,
    })
    .optional(),
  /** It only looks: there is nothing to undo. */
  effect: z.literal('none').optional(),
  /** Once this task has succeeded nothing is undone any more: failures stop the instance in `stopped`, naming what is missing. */
  pointOfNoReturn: z.boolean().optional(),
});
export type TaskDefinition = z.infer<typeof TaskDefinition>;

export const WorkflowDefinition = z.object({
  name: Name,
  version: Positive,
  summary: z.string().max(255),
  params: z.record(
    z.string(),
    z.object({ type: z.enum(['string', 'number', 'boolean', 'object', 'array']), required: z.boolean().optional() }),
  ),
  tasks: z.array(TaskDefinition).min(1).max(10_000),
  deadlineMs: Positive.max(604_800_000),
  /** Every task that may run before a point of no return must have a compensation, or no effect. */
  undoable: z.boolean().optional(),
  /** References; the instance's output when it succeeds. */
  output: z.record(z.string(), z.unknown()).optional(),
});
export type WorkflowDefinition = z.infer<typeof WorkflowDefinition>;

/** Text that is to arrive as it is, whatever `${…}` it holds: `$${` stands for `${` in an input. */
export const literal = (text: string): string => text.replaceAll('${', () => '$${');
