import { z } from 'zod';
import { taskGroups } from '../define.ts';
import { Cause, Count } from '../shapes.ts';
import { WorkflowDefinition } from '../workflow-definition.ts';
import { PolicyCause, PolicySpec } from '../workflow-policies.ts';
import { WorkflowLimits } from '../workflow-queue.ts';
import { workflowStates } from '../workflow.ts';
import { Ended } from './operations.ts';
import { pageOf, Row } from './rows.ts';

const state = z.enum([...workflowStates, 'queued']);
const Counts = z.object({ total: Count, succeeded: Count, skipped: Count, failed: Count, compensated: Count });
const head = { workflowId: z.string(), name: z.string(), subject: z.string(), state };

export const Workflow = Row.extend({
  ...head,
  definitionVersion: Count,
  summary: z.string(),
  priority: Count.optional(),
  phase: z.string().optional(),
  counts: Counts,
  ...Ended.shape,
}).meta({ id: 'Workflow' });
export type Workflow = z.infer<typeof Workflow>;

const Items = z.object({ count: Count, states: z.record(z.string(), Count).optional() });
const Attempt = z.object({
  action: z.string(),
  attempt: Count,
  token: Count,
  executor: z.string(),
  dispatchedAt: z.string(),
  deadlineAt: z.string(),
  beginBy: z.string().optional(),
  heartbeatMs: Count.optional(),
  heardAt: z.number().optional().describe('in milliseconds since 1970'),
  hedge: z.literal(true).optional(),
  settled: z
    .object({
      ok: z.boolean(),
      cause: Cause.optional(),
      at: z.string().optional(),
      startedAt: z.string().optional(),
      endedAt: z.string().optional(),
    })
    .optional(),
});
/** From the owner with its attempts; from the read models, while the owner is away, with the last one alone. */
export const Task = z
  .object({
    name: z.string(),
    kind: z.string().optional(),
    summary: z.string().optional(),
    section: z.string().optional(),
    state: z.string(),
    dependsOn: z.array(z.string()).optional(),
    after: z.array(z.string()).optional(),
    item: z.object({ of: z.string(), position: Count }).optional(),
    items: Items.optional(),
    offer: z
      .looseObject({
        number: Count,
        closesAt: z.string(),
        bids: z.union([z.array(z.looseObject({ executor: z.string() })), Count]).describe('each bid; from the read models how many'),
      })
      .optional(),
    when: z.string().optional(),
    pointOfNoReturn: z.boolean().optional(),
    compensation: z.string().optional(),
    undoneBy: z.string().optional(),
    deadlineMs: Count.optional(),
    attempts: z.array(Attempt).optional(),
    input: z.unknown().optional(),
    output: z.unknown().optional(),
    cause: Cause.optional(),
    reason: z.string().optional(),
    startedAt: z.string().optional(),
    endedAt: z.string().optional(),
    ms: z.number().optional(),
    workflowId: z.string().optional(),
    task: z.string().optional(),
    of: z.string().optional(),
    position: Count.optional(),
    index: Count.optional(),
    attempt: Count.optional(),
    executor: z.string().optional(),
    deadlineAt: z.string().optional(),
    retryAt: z.string().optional(),
    heardAt: z.string().optional(),
    compensatedAt: z.string().optional(),
  })
  .meta({ id: 'Task' });
export type Task = z.infer<typeof Task>;

const graph = {
  ...head,
  summary: z.string().optional(),
  tenant: z.string().optional(),
  parent: z.object({ workflowId: z.string(), task: z.string(), attempt: Count }).optional(),
  priority: Count.optional(),
  causedBy: z.string().optional(),
  params: z.unknown().optional(),
  counts: Counts.optional(),
  tasks: z.array(Task),
  criticalPath: z.object({ by: z.enum(['deadline', 'measured']), tasks: z.array(z.string()), ms: z.number() }).optional(),
  timers: z.array(z.object({ at: z.string(), kind: z.string(), task: z.string().optional() })).optional(),
  ...Ended.shape,
};
/** As the workflow service has it. */
export const GraphOfOwner = z.object({ ...graph, version: Count.optional().describe('of the definition'), streamVersion: Count });
export const Graph = z
  .object({
    ...graph,
    definitionVersion: Count.optional(),
    phase: z.string().optional(),
    createdAt: z.string().optional(),
    updatedAt: z.string().optional(),
    version: Count.describe('of the stream; also the ETag'),
    source: z.enum(['workflow', 'read-models']),
  })
  .meta({ id: 'WorkflowGraph' });
export type Graph = z.infer<typeof Graph>;

export const ItemsPage = pageOf(Task).extend({ task: z.string(), ...Items.required().shape });
export type ItemsPage = z.infer<typeof ItemsPage>;

const Chain = z.object({ tasks: z.array(z.string()), ms: z.number() });
export const Analysis = z
  .object({
    workflowId: z.string().optional(),
    name: z.string(),
    version: Count,
    state: state.optional(),
    tasks: z.array(
      z.object({
        name: z.string(),
        kind: z.string(),
        summary: z.string(),
        level: Count,
        dependsOn: z.array(z.string()),
        by: z.enum(['run', 'task', 'kind', 'deadline', 'unknown']).describe('where `expectedMs` comes from'),
        measured: z.object({ count: Count, p50: z.number(), p95: z.number() }).optional(),
        items: z.object({ count: Count, concurrency: Count }).optional(),
        expectedMs: z.number(),
        workMs: z.number(),
        startMs: z.number(),
        slackMs: z.number(),
        critical: z.boolean(),
      }),
    ),
    levels: z.array(z.array(z.string())),
    width: Count,
    criticalPath: Chain,
    mostExpensive: Chain,
    expectedMs: z.number(),
    p95Ms: z.number(),
    workMs: z.number(),
    unmeasured: z.array(z.string()),
  })
  .meta({ id: 'WorkflowAnalysis' });
export type Analysis = z.infer<typeof Analysis>;

const ref = { name: z.string(), version: Count, ref: z.string() };
const warnings = z.array(z.object({ code: z.string(), place: z.string(), message: z.string() })).optional();
export const WorkflowTemplatePublished = z.object({ ...ref, warnings });
export const WorkflowTemplateValid = z.object({ valid: z.literal(true), name: z.string(), tasks: Count, warnings });
export const WorkflowTemplateHead = z
  .object({
    ...ref,
    summary: z.string(),
    params: WorkflowDefinition.shape.params,
    tasks: Count,
    at: z.string(),
    retired: z.boolean(),
  })
  .meta({ id: 'WorkflowTemplateHead' });
export const WorkflowTemplateVersion = z
  .object({ ...ref, at: z.string(), retired: z.boolean(), definition: WorkflowDefinition, versions: z.array(Count).optional() })
  .meta({ id: 'WorkflowTemplate' });
/** Of a template that was retired: it takes no new starts. */
export const Retired = z.object({ name: z.string(), retired: z.literal(true) });

export const WorkflowStarted = z.object({ workflowId: z.string(), operation: z.string(), queued: z.boolean(), warnings });
export const AuditStarted = z.object({ workflowId: z.string(), operation: z.string(), hostId: z.string(), remove: z.boolean() });
export const WorkflowChanged = z.object({ workflowId: z.string(), operation: z.string(), version: Count });

export const Queued = z
  .object({
    workflowId: z.string(),
    name: z.string(),
    version: Count,
    tenant: z.string(),
    subject: z.string(),
    priority: Count,
    key: z.string().nullable(),
    queuedAt: z.string(),
    expiresAt: z.string(),
    state: z.enum(['waiting', 'starting']),
    position: Count.describe('among its tenant’s, from 1'),
  })
  .meta({ id: 'QueuedWorkflow' });
export const Limits = z.object({
  limits: WorkflowLimits,
  running: z.array(z.object({ tenant: z.string(), kind: z.string(), count: Count })),
});

export const Executor = z
  .object({
    executor: z.string(),
    group: z.enum(taskGroups),
    kinds: z.array(z.string()),
    labels: z.record(z.string(), z.union([z.string(), z.array(z.string())])),
    health: z.enum(['up', 'lost']),
    capacity: Count.optional(),
    lastWord: z.string(),
    rank: Count,
    losses: Count.describe('those that still weigh'),
    rankUntil: z.string().optional().describe('when the rank rises by one'),
  })
  .meta({ id: 'Executor' });
export type Executor = z.infer<typeof Executor>;

export const Policy = z
  .object({
    name: z.string(),
    tenant: z.string(),
    status: z.enum(['enabled', 'disabled']),
    revision: Count,
    summary: z.string(),
    spec: PolicySpec,
    next: z.string().optional().describe('the next slot of its schedule'),
    lastStartedAt: z.string().optional(),
    failures: Count,
    lastFailure: z.object({ code: z.string(), message: z.string(), eventId: z.string().optional(), at: z.string() }).optional(),
    firings: z
      .array(
        z.object({
          workflowId: z.string(),
          cause: PolicyCause,
          state: z.string(),
          notedAt: z.string(),
          startedAt: z.string().nullable(),
          reason: z.looseObject({ code: z.string() }).nullable(),
        }),
      )
      .optional()
      .describe('the latest; left out of lists'),
  })
  .meta({ id: 'Policy' });
export type Policy = z.infer<typeof Policy>;
export const PolicyChanged = z.object({ name: z.string(), revision: Count, status: z.string() });
export const PolicyTried = z.object({
  fires: z.boolean(),
  why: z.object({ code: z.string(), message: z.string(), faults: z.unknown().optional() }).optional(),
  workflowId: z.string().optional(),
  params: z.unknown().optional(),
  subject: z.string().optional(),
  next: z.string().optional(),
});
