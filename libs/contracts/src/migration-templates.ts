import { z } from 'zod';
import { event, type EventsOf } from './define.ts';
import { executorAnnounced } from './executors.ts';
import {
  Cause,
  Characterisation,
  Count,
  DeviceId,
  ExitCodes,
  Id,
  Name,
  PoolId,
  Positive,
  Ref,
  Timestamp,
  VmLabels,
  VolumeName,
} from './shapes.ts';
import { Pause, SetCounts, SetPolicy, SetRun } from './migration-sets.ts';
import { taskReported } from './task-execution.ts';
import { Section } from './workflow-definition.ts';
import { WorkflowCancel, WorkflowRequest } from './workflow.ts';

/** One step a template's author writes. `guest-script` runs in the guest under limits; `undo` is its compensation, which may also run where the script did not. */
export const TemplateStep = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('guest-script'),
    name: Name,
    script: z.string().min(1).max(65_536),
    undo: z.string().max(65_536).optional(),
    timeoutMs: Positive.max(600_000),
    /** Exit codes that are as good as 0, for the script and its undo. Absent: 0 alone. */
    okExitCodes: ExitCodes.optional(),
    /** How often the script, and its undo, may run until one time it is fine. Absent: once. */
    attempts: Positive.max(20).optional(),
  }),
  z.object({ kind: z.literal('unplug-nic'), name: Name, nic: Name }),
  z.object({ kind: z.literal('unplug-disk'), name: Name, disk: Name }),
  z.object({ kind: z.literal('unplug-cpus'), name: Name, vcpus: Positive.max(64) }),
  z.object({ kind: z.literal('unplug-memory'), name: Name, memoryMiB: Positive.max(262_144) }),
  z.object({ kind: z.literal('plug-nic'), name: Name, nic: Name, network: Name }),
  z.object({ kind: z.literal('plug-cpus'), name: Name, vcpus: Positive.max(64) }),
  z.object({ kind: z.literal('plug-memory'), name: Name, memoryMiB: Positive.max(262_144) }),
  z.object({ kind: z.literal('grow-disk'), name: Name, disk: Name, sizeMiB: Positive.max(1_048_576) }),
  z.object({ kind: z.literal('online-cpus'), name: Name, vcpus: Positive.max(64) }),
  z.object({ kind: z.literal('online-memory'), name: Name, memoryMiB: Positive.max(262_144) }),
  z.object({ kind: z.literal('grow-filesystem'), name: Name, disk: Name }),
  z.object({ kind: z.literal('live-migration'), name: Name }),
  /** The NIC is on another network when the guest goes on: its hardware and its address stay. */
  z.object({ kind: z.literal('rewire-nic'), name: Name, nic: Name, network: Name }),
]);
export type TemplateStep = z.infer<typeof TemplateStep>;

export const MigrationMethod = z.enum(['pre-copy', 'post-copy', 'save-and-restore', 'restart']);
export type MigrationMethod = z.infer<typeof MigrationMethod>;
/** What the guest goes through: nothing, a pause of under a second, or an end and a new boot. */
export const Interruption = z.enum(['none', 'under-a-second', 'save-and-restore', 'restart']);
export type Interruption = z.infer<typeof Interruption>;
/** Somebody is asked before the switch-over, and nobody answers: after so long the move is undone, or goes on. */
export const Approval = z.object({ withinMs: Positive.max(43_200_000), onTimeout: z.enum(['abort', 'switch']) });
export type Approval = z.infer<typeof Approval>;
export const TemplateOptions = z.object({
  targetType: Ref.describe('what the VM becomes; its present type where it only moves'),
  method: MigrationMethod.describe(
    'how it moves: pre-copy while it runs on, post-copy before all of its memory has gone, save-and-restore by a file while it stands still, restart by an end and a new boot',
  ),
  newResources: z
    .enum(['expose', 'hide'])
    .describe('whether the guest gets what the new type has besides now, or with a later step or its next start'),
  emulateIncompatible: z.boolean().describe('whether what the host lacks is given by its hypervisor: no host does yet'),
  augmentation: z.array(z.string().max(64)).max(32).describe('packages that its agent may add for the move: none yet'),
  downtimeLimitMs: Positive.max(60_000).describe('for how long the guest may stand still at the switch-over'),
  maxBandwidthMiBps: Positive.max(100_000).describe('how fast memory and disks are sent, each at most'),
  streams: Positive.max(16).optional().describe('of a pre-copy: over how many connections memory is sent at once; one unless told'),
  throttle: z
    .boolean()
    .optional()
    .describe('of a pre-copy: whether the guest’s CPUs are slowed, more with each pass, where it writes about as fast as is sent'),
  /** `afterPasses` is 1 and `recoverWithinMs` 5 minutes unless told. */
  postCopy: z
    .object({
      afterPasses: Positive.max(100).describe(
        'the guest goes to the target after so many passes over its memory, if it does not fit before',
      ),
      recoverWithinMs: Positive.max(3_600_000).describe(
        'for how long the two hosts may be cut off from each other then, until the move has failed',
      ),
    })
    .partial()
    .optional()
    .describe('of a post-copy: from when on there is no way back, and for how long a cut way is taken up again'),
  /** Of a restart: how long the guest is given for each way of asking it to shut down (60 s unless told), and whether its power goes where it does not. */
  shutDown: z
    .object({ timeoutMs: Positive.max(600_000), force: z.boolean() })
    .partial()
    .optional()
    .describe(
      'of a restart: how long the guest is given for each way of asking it to shut down, and whether its power goes where it does not',
    ),
  approval: Approval.optional().describe('somebody has to approve of the switch-over; absent: nobody is asked'),
});
export type TemplateOptions = z.infer<typeof TemplateOptions>;
/**
 * What is done in the middle of a move. `stopped`: at the target, from the end of the transfer to the guest's first instruction. `running`:
 * in the guest, from then until its new place is announced on the network. Each of the two takes `withinMs` at most, and the guest's users
 * wait as long: stopped it is undone with the move then, running it is announced all the same.
 */
export const MidMigration = z.object({
  withinMs: Positive.max(30_000),
  stopped: z.array(TemplateStep).max(16),
  running: z.array(TemplateStep).max(16),
});
export type MidMigration = z.infer<typeof MidMigration>;
export const TemplateSpec = z.object({
  sourceType: Ref,
  options: TemplateOptions,
  preMigration: z.array(TemplateStep).max(64),
  hotUnplug: z.array(TemplateStep).max(64),
  /** Empty: a morphing template. */
  migration: z.array(TemplateStep).max(1),
  /** Absent: nothing is done there. */
  midMigration: MidMigration.optional(),
  hotPlug: z.array(TemplateStep).max(64),
  postMigration: z.array(TemplateStep).max(64),
});
export type TemplateSpec = z.infer<typeof TemplateSpec>;

/** What a template is exported as, and imported from: no version, for whoever imports it gives it the next one. */
export const TemplateDocument = z.strictObject({
  kind: z.literal('migration-template'),
  schema: z.literal(1),
  name: Name,
  spec: TemplateSpec,
});
export type TemplateDocument = z.infer<typeof TemplateDocument>;
export const DocumentFormat = z.enum(['yaml', 'json']);
export type DocumentFormat = z.infer<typeof DocumentFormat>;

export const Blocker = z.object({
  code: z.string().max(128),
  message: z.string().max(1024),
  subject: z.string().max(255),
  remedy: z.string().max(512).optional(),
});
export type Blocker = z.infer<typeof Blocker>;

/** One answer of an options query: a stable id, what it would do, where it could go; or why it is not offered. */
export const MOST_COPIES = 1_000;
/** A disk that is in a pool of its host's own, and goes to the pool of that name at the target. `from`: the pool that it is in now. */
export const CopiedDisk = z.object({ disk: DeviceId, pool: Name, volume: VolumeName, sizeMiB: Positive, from: PoolId.optional() });
export type CopiedDisk = z.infer<typeof CopiedDisk>;
export const MigrationOption = z.object({
  id: z.string().max(255),
  targetType: Ref,
  move: z.boolean(),
  method: MigrationMethod,
  newResources: z.enum(['expose', 'hide']),
  augmentation: z.array(z.string().max(64)),
  hosts: z.array(Name),
  needsAgent: z.boolean(),
  interruption: Interruption.optional(),
  /** Disks that are copied on the way, while their guests run: their hosts share no pool. To the best of the hosts; the first thousand. */
  copies: z
    .array(z.object({ vmId: Id, disk: DeviceId, sizeMiB: Positive }))
    .max(MOST_COPIES)
    .optional(),
  summary: z.string().max(512),
});
export type MigrationOption = z.infer<typeof MigrationOption>;
export const RefusedOption = z.object({ id: z.string().max(255), blockers: z.array(Blocker).min(1) });

/** Of VMs that are not named: those with all of these labels, for whom the expression holds. Looked up when a plan is made, and kept in it. */
export const VmSelection = z
  .strictObject({
    labels: VmLabels.optional(),
    filter: z.string().min(1).max(1024).optional().describe('CEL over `vm`: id, name, type, host, state, labels, vcpus, memoryMiB'),
  })
  .refine((s) => Object.keys(s.labels ?? {}).length > 0 || s.filter !== undefined, 'a label or a filter at least');
export type VmSelection = z.infer<typeof VmSelection>;

/** What a plan was made from: it is applied only while these still hold. */
export const PlanBasis = z.object({ template: Ref, vmVersions: z.record(z.string(), Count), hostGenerations: z.record(z.string(), Count) });
export const PlannedMove = z.object({
  vmId: Id,
  fromHost: Name,
  toHost: Name,
  fromType: Ref,
  toType: Ref,
  steps: z.array(z.object({ section: Section, name: Name, kind: z.string(), summary: z.string() })),
  blockers: z.array(Blocker),
  interruption: Interruption.optional(),
  /** Of a post-copy: from when on there is no way back, for how long the hosts may be cut off from each other then, and what is lost otherwise. */
  noWayBack: z.object({ afterPasses: Positive, recoverWithinMs: Positive, text: z.string().max(512) }).optional(),
  /** How much longer users may wait: while the guest stands still, and before its new place is announced; each at most. */
  pauses: z.object({ stoppedMs: Count, unannouncedMs: Count, stopped: z.array(z.string()) }).optional(),
  /** Of save-and-restore: what is written to which pool, and a forecast of how long the guest stands still for that; `mapped`: both ends have `mapped-ram`. */
  standsStill: z.object({ pool: Name, sizeMiB: Positive, seconds: Positive, mapped: z.literal(true).optional() }).optional(),
  /** What the move goes without, and why: it does not need it. */
  without: z.array(Blocker).optional(),
  /** What stays more than the type has: CPUs that are offlined (offline in the guest), MiB of a disk. */
  keeps: z.array(z.object({ what: z.enum(['vcpus', 'disk']), id: Name, has: Count, type: Count })).optional(),
  /** Disks that are copied while the guest runs, and how long that takes at the template's bandwidth where all of a disk was written. */
  copies: z
    .array(CopiedDisk.extend({ seconds: Count }))
    .max(32)
    .optional(),
});
export const Plan = z.object({
  planId: Id,
  basis: PlanBasis,
  moves: z.array(PlannedMove),
  at: Timestamp,
  /**
   * The migration whose rest it takes up again, or whose moves it takes back; without those of its VMs that were deleted since (`gone`), and
   * those that are there already (`done`): by an earlier one, or by whoever moved them since.
   */
  of: z.object({ migrationId: Id, as: z.enum(['retry', 'undo']), gone: z.array(Id).optional(), done: z.array(Id).optional() }).optional(),
  /** How it is to be run: what it was checked with. */
  run: SetRun.optional(),
  /** By what its VMs were found, where they were not named. */
  select: VmSelection.optional(),
});
export type Plan = z.infer<typeof Plan>;
export type PlannedMove = z.infer<typeof PlannedMove>;

export const MoveFigures = z.object({ downtimeMs: z.number(), totalMs: z.number(), transferredBytes: Count, controlPlaneMs: z.number() });

/** What became of the question. `moot`: the move failed or was cancelled before anybody answered. */
export const ApprovalVerdict = z.enum(['approved', 'rejected', 'timed-out', 'moot']);
export type ApprovalVerdict = z.infer<typeof ApprovalVerdict>;
/** `meanwhile`: the transfer goes on while it waits; else nothing was begun. `attempt`: of its task. */
export const ApprovalAsked = z.object({
  attempt: Positive,
  until: Timestamp,
  onTimeout: Approval.shape.onTimeout,
  meanwhile: z.boolean(),
});
export type ApprovalAsked = z.infer<typeof ApprovalAsked>;

/** Streams: `template-<name>`, `options-query-<id>`, `characterisation-<vmId>`, `plan-<id>`, `migration-<id>`. */
export const migrationTemplatesEvents = {
  templatePublished: event(
    'chrysalis.migration-templates.template.published.v1',
    'An immutable version of a template was published',
    z.object({ name: Name, version: Positive, spec: TemplateSpec }),
  ),
  templateRetired: event(
    'chrysalis.migration-templates.template.retired.v1',
    'A template takes no new migrations',
    z.object({ name: Name }),
  ),
  templateDeleted: event(
    'chrysalis.migration-templates.template.deleted.v1',
    'A template and its versions are there no more; the number of a version is never used again',
    z.object({ name: Name }),
  ),
  optionsQueried: event(
    'chrysalis.migration-templates.options.queried.v1',
    'Someone asked where VMs can go',
    z.object({ queryId: Id, vmIds: z.array(Id).min(1).max(1000), grantId: Id.optional(), request: WorkflowRequest.optional() }),
  ),
  optionsAnswered: event(
    'chrysalis.migration-templates.options.answered.v1',
    'The answer, with a reason for each option that is missing',
    z.object({
      queryId: Id,
      source: z.enum(['agent', 'failsafe', 'mixed']),
      options: z.array(MigrationOption),
      refused: z.array(RefusedOption),
    }),
  ),
  optionsFailed: event(
    'chrysalis.migration-templates.options.failed.v1',
    'The query could not be answered',
    z.object({ queryId: Id, cause: Cause }),
  ),
  vmCharacterised: event(
    'chrysalis.migration-templates.vm.characterised.v1',
    'What is known of a VM, with evidence',
    z.object({ characterisation: Characterisation }),
  ),
  planMade: event(
    'chrysalis.migration-templates.plan.made.v1',
    'A migration was worked out in full; nothing was touched',
    z.object({ plan: Plan }),
  ),
  migrationRequested: event(
    'chrysalis.migration-templates.migration.requested.v1',
    'A run of a template over a set of VMs began',
    z.object({
      migrationId: Id,
      /** Without the steps of its moves, since those of a thousand are megabytes: they are in the plan's own event. */
      plan: Plan,
      concurrency: Positive,
      policy: SetPolicy.optional(),
      /** Nothing more begins from then on. */
      deadlineAt: Timestamp.optional(),
    }),
  ),
  moveStarted: event(
    'chrysalis.migration-templates.move.started.v1',
    'One VM of the set began to move',
    z.object({ migrationId: Id, moveId: Id, vmId: Id, request: WorkflowRequest }),
  ),
  moveEnded: event(
    'chrysalis.migration-templates.move.ended.v1',
    "One VM's part is in a final state",
    z.object({
      migrationId: Id,
      moveId: Id,
      vmId: Id,
      state: z.enum(['succeeded', 'undone', 'failed']),
      cause: Cause.optional(),
      figures: MoveFigures.optional(),
    }),
  ),
  moveResumed: event(
    'chrysalis.migration-templates.move.resumed.v1',
    'A move that had ended goes on: an operator repaired its workflow, or has it undone',
    z.object({ migrationId: Id, moveId: Id, vmId: Id, reason: z.string().max(255), by: z.string().max(255).optional() }),
  ),
  approvalAsked: event(
    'chrysalis.migration-templates.move.approval-asked.v1',
    'A move is ready for its switch-over, and waits until somebody approves it, or until its time is up',
    z.object({ migrationId: Id, moveId: Id, vmId: Id, ...ApprovalAsked.shape }),
  ),
  approvalSettled: event(
    'chrysalis.migration-templates.move.approval-settled.v1',
    'Nobody waits for the approval of a move any more',
    z.object({
      migrationId: Id,
      moveId: Id,
      vmId: Id,
      verdict: ApprovalVerdict,
      /** Who approved or rejected it; absent: nobody did. */
      by: z.string().max(255).optional(),
      reason: z.string().max(255).optional(),
    }),
  ),
  migrationCancelRequested: event(
    'chrysalis.migration-templates.migration.cancel-requested.v1',
    'Someone asked to cancel: no further move begins; those that run are undone while they can be',
    z.object({
      migrationId: Id,
      reason: z.string().max(255),
      cancel: WorkflowCancel,
      /** Where nobody asked: its time was up, or that of its pause. */
      cause: Cause.optional(),
    }),
  ),
  migrationPaused: event(
    'chrysalis.migration-templates.migration.paused.v1',
    'Nothing more of the set begins until it is resumed, or until its time is up; what runs goes on to its end',
    z.object({ migrationId: Id, ...Pause.shape }),
  ),
  migrationResumed: event(
    'chrysalis.migration-templates.migration.resumed.v1',
    'The set goes on: somebody resumed it, or it was paused for so long',
    z.object({ migrationId: Id, by: z.string().max(255).optional() }),
  ),
  migrationEnded: event(
    'chrysalis.migration-templates.migration.ended.v1',
    'Every move of the set is in a final state; said again where one of them went on',
    z.object({
      migrationId: Id,
      state: z.enum(['succeeded', 'undone', 'failed', 'cancelled']).describe('cancelled: somebody wanted no more of it'),
      cause: Cause.optional(),
      /** Absent: of before they were counted. */
      counts: SetCounts.optional(),
    }),
  ),
  taskReported: taskReported('migration-templates'),
  executorAnnounced: executorAnnounced('migration-templates'),
} as const;
export type MigrationTemplatesEvent = EventsOf<typeof migrationTemplatesEvents>;
