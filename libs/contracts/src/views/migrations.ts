import { z } from 'zod';
import { Pause, SetCounts, SetPolicy, Window } from '../migration-sets.ts';
import {
  Approval,
  ApprovalVerdict,
  DocumentFormat,
  MigrationOption,
  MoveFigures,
  Plan as PlanShape,
  RefusedOption,
  TemplateSpec,
  TemplateStep,
  VmSelection,
} from '../migration-templates.ts';
import { Cause, Count } from '../shapes.ts';
import { Section } from '../workflow-definition.ts';
import { Named } from './fleet.ts';
import { Standing } from './operations.ts';
import { Row } from './rows.ts';

export const Template = Named.extend({ spec: TemplateSpec, publishedAt: z.string(), retired: z.boolean().optional() }).meta({
  id: 'MigrationTemplate',
});
export type Template = z.infer<typeof Template>;
export const TemplatePublished = z.object({ name: z.string(), version: Count, ref: z.string(), spec: TemplateSpec });

export const TemplateDeleted = z.object({ name: z.string(), deleted: z.literal(true) });
export const TemplateVersion = z.object({
  name: z.string(),
  version: Count,
  ref: z.string(),
  publishedAt: z.string(),
  retired: z.boolean(),
});
export const TemplateExport = z.object({ name: z.string(), version: Count, format: DocumentFormat, document: z.string() });
/** `path` is the place in the spec: `hotPlug.0.vcpus`. */
export const TemplateFinding = z.object({ path: z.string(), code: z.string(), message: z.string() });
/** `steps`: of each section how many; `morph`: it leaves VMs on their hosts. Both where the outline is one. */
export const TemplateJudged = z.object({
  valid: z.boolean(),
  findings: z.array(TemplateFinding),
  steps: z.record(z.string(), Count).optional(),
  morph: z.boolean().optional(),
});
export type TemplateJudged = z.infer<typeof TemplateJudged>;
export const TemplateDiff = z.object({
  name: z.string(),
  from: Count,
  to: Count,
  same: z.boolean(),
  options: z.array(z.object({ path: z.string(), from: z.unknown().optional(), to: z.unknown().optional() })),
  steps: z.array(
    z.object({
      section: z.string(),
      name: z.string(),
      change: z.enum(['added', 'removed', 'changed', 'reordered']),
      from: TemplateStep.optional(),
      to: TemplateStep.optional(),
    }),
  ),
});
export type TemplateDiff = z.infer<typeof TemplateDiff>;

export const Option = MigrationOption.meta({ id: 'MigrationOption' });
export const OptionsQuery = Row.extend({
  queryId: z.string(),
  state: z.enum(['open', 'answered', 'failed']),
  vmIds: z.array(z.string()),
  grantId: z.string().optional(),
  operation: z.string().optional(),
  source: z.enum(['agent', 'failsafe', 'mixed']).optional(),
  options: z.array(Option).optional(),
  refused: z.array(RefusedOption).optional(),
  cause: Cause.optional(),
}).meta({ id: 'OptionsQuery' });
export type OptionsQuery = z.infer<typeof OptionsQuery>;

/** As it was made: `ready` where no move has a blocker. */
export const PlanMade = PlanShape.extend({ ready: z.boolean() }).meta({ id: 'PlanMade' });
export type PlanMade = z.infer<typeof PlanMade>;
export const Plan = Row.extend({ ...PlanMade.shape, template: z.string() }).meta({ id: 'Plan' });
export type Plan = z.infer<typeof Plan>;

/** What a plan would be, of a spec that is published nowhere. */
export const TemplateTried = z.object({ ready: z.boolean(), moves: PlanShape.shape.moves, at: z.string() });
export type TemplateTried = z.infer<typeof TemplateTried>;

/** `ms` where it has ended. */
export const Step = z
  .object({
    section: Section,
    name: z.string(),
    kind: z.string(),
    summary: z.string(),
    state: z.string(),
    ms: z.number().optional(),
    cause: Cause.optional(),
  })
  .meta({ id: 'Step' });
export type Step = z.infer<typeof Step>;

const runStates = ['running', 'succeeded', 'undone', 'failed'] as const;
const moveShape = {
  moveId: z.string(),
  migrationId: z.string(),
  vmId: z.string(),
  state: z.enum(runStates),
  workflowId: z.string(),
  startedAt: z.string(),
  endedAt: z.string().optional(),
  cause: Cause.optional(),
  figures: MoveFigures.optional(),
  /** Of a move that somebody had, or has, to approve of; without a verdict it waits for an operator of its tenant, or of the fleet. */
  approval: z
    .object({
      since: z.string(),
      until: z.string(),
      onTimeout: Approval.shape.onTimeout,
      meanwhile: z.boolean(),
      waitsFor: z.string().optional(),
      verdict: ApprovalVerdict.optional(),
      by: z.string().optional(),
      reason: z.string().optional(),
      at: z.string().optional(),
    })
    .optional(),
  lastRepair: z.object({ reason: z.string(), by: z.string().optional(), at: z.string() }).optional(),
};
export const Move = Row.extend(moveShape).meta({ id: 'Move' });
export type Move = z.infer<typeof Move>;
export const MoveInFull = z
  .object({ ...moveShape, workflowState: z.string().optional(), standing: Standing.optional(), steps: z.array(Step) })
  .meta({ id: 'MoveInFull' });
export type MoveInFull = z.infer<typeof MoveInFull>;

export const migrationStates = [...runStates, 'paused', 'cancelled'] as const;
const Of = z.object({ migrationId: z.string(), as: z.enum(['retry', 'undo']) });
const Migration = Row.extend({
  migrationId: z.string(),
  state: z.enum(migrationStates),
  planId: z.string(),
  template: z.string(),
  vmIds: z.array(z.string()),
  planned: z.array(
    z.object({
      ...{ vmId: z.string(), fromHost: z.string(), toHost: z.string(), fromType: z.string(), toType: z.string() },
      /** Of save-and-restore, what was forecast: to be compared with `downtimeMs` of its figures. */
      standsStillSeconds: z.number().optional(),
    }),
  ),
  concurrency: Count,
  startedAt: z.string(),
  endedAt: z.string().optional(),
  cause: Cause.optional(),
  cancelRequested: z.string().optional(),
  policy: SetPolicy.optional(),
  deadlineAt: z.string().optional().describe('nothing more of it begins from then on'),
  paused: Pause.extend({ since: z.string() }).optional(),
  counts: SetCounts.optional().describe('once it has ended'),
  of: Of.optional().describe('the migration whose rest it takes up, or whose moves it takes back'),
});
/** As a list has it. */
export const MigrationSummary = Migration.meta({ id: 'MigrationSummary' });
export const MigrationInFull = Migration.extend({
  moves: z.array(MoveInFull),
  notBegun: z.array(z.string()).describe('VMs of it that no move has begun for, in the order of its plan'),
  window: z
    .object({ open: Window.optional(), next: Window.optional() })
    .optional()
    .describe('where it has windows: the one that is open at this instant, and the next one'),
  select: VmSelection.optional().describe('by what its VMs were found'),
  again: z
    .array(Of.extend({ state: z.enum(migrationStates) }))
    .describe('migrations that take up its rest, or take its moves back, the first one first'),
}).meta({ id: 'Migration' });
export type MigrationInFull = z.infer<typeof MigrationInFull>;
export const MigrationAccepted = z.object({ migrationId: z.string(), operation: z.string() });
