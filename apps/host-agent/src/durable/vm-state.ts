import { Count, Id, Name, Positive, Sha256, StoppedWork, Timestamp, Topology } from '@chrysalis/contracts';
import { z } from 'zod';

const SourceMove = z.object({
  side: z.literal('source'),
  moveId: Id,
  /** The execution that began it: the same one again gets its answer, a later attempt may begin anew. */
  taskKey: z.string(),
  newEpoch: Positive,
  targetHost: Name,
  migrationAddress: z.string(),
  peerAddress: z.string(),
  peerToken: z.string(),
  method: z.enum(['pre-copy', 'post-copy', 'save-and-restore', 'restart']),
  downtimeLimitMs: Positive,
  maxBandwidthMiBps: Positive,
  streams: Positive.optional(),
  throttle: z.boolean().optional(),
  copies: z.object({ volumes: z.array(z.string()), address: z.string() }).optional(),
  /** Of save-and-restore: where to. `saved`: it is, and the guest has not run since; the file is all of it. */
  saveTo: z.object({ pool: z.string(), mapped: z.literal(true).optional() }).optional(),
  saved: z.object({ digest: Sha256, bytes: Positive }).optional(),
  /** Of a post-copy: its guest is the target's after so many passes. */
  postCopy: z.object({ afterPasses: Positive }).optional(),
  /** Before the fence the target is asked to do its work, and has so long. */
  stoppedWithinMs: Positive.optional(),
  /** Somebody has to approve of its switch-over: see `verdict`. */
  held: z.boolean().optional(),
  /** How often the target was prepared anew for it. */
  round: Positive.optional(),
  startedAt: Timestamp,
  /** The dead-man deadline: without a fence the guest is back by then, whatever the control plane says or does not say. */
  deadlineAt: Timestamp,
  /**
   * transferring: the guest is this host's. fenced: it may never run here at this epoch again. resumed: the target was seen to run it.
   * reclaimed: the target said it never will, and it runs here again. returned: the transfer failed before the fence. sending: the target was
   * seen to run it, and memory of it is here still. lost: the guest is nowhere, as its memory was at two places and one is gone.
   */
  phase: z.enum(['transferring', 'fenced', 'sending', 'resumed', 'reclaimed', 'returned', 'lost']),
  fence: z.object({ epoch: Positive, fencedAt: Timestamp, stoppedAt: Timestamp, totalMs: z.number(), transferredBytes: Count }).optional(),
  /** The guest restarted itself while the stream ran. */
  restarted: z.boolean().optional(),
  resumed: z.object({ resumedAt: Timestamp, downtimeMs: z.number() }).optional(),
  /** Of a cold move: until then a guest that runs may go off, as it was asked to. */
  offBy: Timestamp.optional(),
  /** Why a phase of `reclaimed`, `returned` or `lost` came. */
  cause: z.object({ code: z.string(), message: z.string() }).optional(),
});
const TargetMove = z.object({
  side: z.literal('target'),
  moveId: Id,
  newEpoch: Positive,
  peerToken: z.string(),
  migrationAddress: z.string().optional(),
  /** Its guest begins anew here: nothing waits for it. */
  cold: z.boolean().optional(),
  /** Its guest runs here before all of its memory is: from when it is on its way there is no other one. */
  postCopy: z.boolean().optional(),
  copyAddress: z.string().optional(),
  /** Files that were made for this move, or were about to be: nobody's until the guest runs here. */
  made: z.array(z.object({ pool: z.string(), volume: z.string() })).optional(),
  deadlineAt: Timestamp,
  /** Its stream may be called off, and come anew: `round` is the last one that it was prepared for. */
  held: z.boolean().optional(),
  round: Positive.optional(),
  streams: Positive.optional(),
  /** waiting: paused, for the receipt. running: the receipt came. never: this host will not run this move, whatever comes. */
  phase: z.enum(['preparing', 'waiting', 'running', 'never']),
  resumedAt: Timestamp.optional(),
  /** What is to be plugged before the guest runs; `changed`: it is. */
  stopped: StoppedWork.optional(),
  changed: z.boolean().optional(),
  /** Its place is announced when that is asked for, and so long after it was resumed at the latest. */
  announceWithinMs: Positive.optional(),
  announced: z.object({ announcedAt: Timestamp, late: z.boolean() }).optional(),
  restarted: z.boolean().optional(),
  /** It was told up to here of its guest's console that it is not well. */
  toldTo: Count.optional(),
  reason: z.string().optional(),
});
/** Of the last move from here whose switch-over somebody had to approve. */
const Verdict = z.object({
  moveId: Id,
  approved: z.boolean(),
  cause: z.object({ code: z.string(), message: z.string() }).optional(),
});
export type Verdict = z.infer<typeof Verdict>;
export type SourceMove = z.infer<typeof SourceMove>;
export type TargetMove = z.infer<typeof TargetMove>;

/** What a host durably knows of one VM. `none` is the memory of a VM that is not here any more. */
export const VmState = z.object({
  vmId: Id,
  tenant: z.string(),
  role: z.enum(['runner', 'incoming', 'fenced', 'none']),
  /** Of a VM that is not here any more: since when nothing came for it, by the control plane's clock. See remember.ts. */
  left: Timestamp.optional(),
  /** At which this host may run the guest; while fenced, the one it was given away from. */
  epoch: Positive,
  /** The lowest epoch a command may carry: a reclaimed guest has a higher epoch than the control plane knows at first. */
  floor: Positive,
  /** It ran here once: what fails from then on never deletes its volumes. */
  booted: z.boolean().optional(),
  topology: Topology.optional(),
  topologyHash: Sha256.optional(),
  /** Highest fencing token by workflow, newest last; tokens of different workflows are not comparable. */
  tokens: z.array(z.object({ workflowId: Id, token: Positive })),
  /** Tasks that came and have no report yet: these may come again with a token that is not the highest. */
  open: z.array(z.string()),
  /** Of these the awards that were begun: they are this host's to the end, though the time to begin them is over. */
  begun: z.array(z.string()).optional(),
  move: z.discriminatedUnion('side', [SourceMove, TargetMove]).optional(),
  verdict: Verdict.optional(),
  /** The last task that was to restart its guest, and the boot that the guest was in before it was asked: another one now means that it has. */
  restart: z.object({ task: z.string(), bootId: z.string() }).optional(),
});
export type VmState = z.infer<typeof VmState>;

export const newVmState = (vmId: string, tenant: string, epoch: number): VmState => ({
  vmId,
  tenant,
  role: 'none',
  epoch,
  floor: epoch,
  tokens: [],
  open: [],
});
