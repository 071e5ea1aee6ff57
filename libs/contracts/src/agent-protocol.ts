import { z } from 'zod';
import { Count, Cause, HostFacts, Id, Name, Positive, Sha256, StoredFormat, Timestamp } from './shapes.ts';
import { CONSOLE_TAIL, consoleFromAgent, consoleToAgent } from './console.ts';
import { Capacity, TaskKinds } from './executors.ts';
import { Vni } from './segment.ts';
import { Observed } from './observed.ts';
import { PoolSeen } from './pools.ts';
import { TaskBid, TaskDispatch, TaskHeartbeat, TaskOffer, TaskReport } from './task-execution.ts';
import { TaskName } from './workflow-definition.ts';

/** JSON text frames over a WebSocket between host agent and gateway. The newest version both speak is used; see agent-protocol.md. */
export const AGENT_PROTOCOL = { min: 1, max: 4 } as const;
/** From this version on: offers, bids, heartbeats of tasks, images between hosts. A session of an older one is sent none of them. */
export const BIDS_SINCE = 2;
/** From this version on an agent says who it is: its key and its instance. */
export const IDENTITY_SINCE = 3;
/** From this version on an agent is asked what became of a task whose grant was revoked after it was sent. */
export const REVOKED_SINCE = 3;
/** Of the upgrade's answer: what the agent signs, so that no hello can be said again by who overheard it. */
export const AGENT_NONCE_HEADER = 'chrysalis-nonce';
export const MAX_AGENT_FRAME_BYTES = 1_048_576;

/**
 * Who an agent is, beside the host that it speaks for. The key is made once and never leaves the agent's disk; the instance is new with
 * each process. `after` names the instances that this one may follow: the last that was welcomed, and those of since then whose welcome
 * is not on the agent's disk. Of two copies of one disk only the first is followed by anybody.
 */
export const HostAgentIdentity = z.object({
  /** Ed25519, the `x` of its JWK. */
  key: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  instance: Id,
  after: z.array(Id).max(64),
  /** Of `agentProof`, base64url. */
  signature: z.string().regex(/^[A-Za-z0-9_-]{86}$/),
});
export type HostAgentIdentity = z.infer<typeof HostAgentIdentity>;

/** What an agent signs. Ids hold no line break, so two different sayings are never one text. */
export const agentProof = (nonce: string, hostId: string, { instance, after }: Pick<HostAgentIdentity, 'instance' | 'after'>): string =>
  ['chrysalis host agent', nonce, hostId, instance, ...after].join('\n');

/** What a host agent says of a VM it has: read from QEMU, not from memory. */
export const VmOnHost = z.object({
  vmId: Id,
  epoch: Positive,
  role: z.enum(['runner', 'incoming', 'fenced']),
  status: z.string(),
  topologyHash: Sha256.optional(),
  /** Of a runner: what it was last seen to do. Said again with each heartbeat; absent from agents that do not look. */
  observed: Observed.optional(),
});

/** What a host agent remembers of what is over: VMs that are not here any more, lanes of the host, results of tasks. */
export const Keeps = z.object({ vmsGone: Count, lanes: Count, results: Count });
export type Keeps = z.infer<typeof Keeps>;

/** A segment that this host has a part of, and the version of what it was told of the other parts; 0: nothing yet. */
export const SegmentPart = z.object({ vni: Vni, peersVersion: Count });
export type SegmentPart = z.infer<typeof SegmentPart>;
const segmentParts = z.array(SegmentPart).max(4_096);

const moveRequests = [
  /** Is the target there and waiting? Asked before a byte is sent. */
  z.object({
    type: z.literal('probe'),
    moveId: Id,
    vmId: Id,
    newEpoch: Positive,
    peerToken: z.string().max(256),
    /** Of a post-copy: the source's QEMU has ended, and what the target lacks of the memory never comes. */
    gone: z.literal(true).optional(),
  }),
  /** The source wrote and synced its fence for `epoch`: the target may run `newEpoch`. Repeated until answered. */
  z.object({
    type: z.literal('receipt'),
    moveId: Id,
    vmId: Id,
    epoch: Positive,
    newEpoch: Positive,
    peerToken: z.string().max(256),
    fencedAt: Timestamp,
    /** The guest restarted itself while the stream ran: it is watched at the target, and reset where it does not start. */
    restarted: z.boolean().optional(),
  }),
  /**
   * The stream is in, and no fence is written: the target does what it has to do while the guest stands still. Answered with `changed`, or
   * refused for good: then it never runs this move, and the source takes the guest back.
   */
  z.object({ type: z.literal('stopped'), moveId: Id, vmId: Id, newEpoch: Positive, peerToken: z.string().max(256) }),
  /**
   * The guest stands still, and all of it is in a file of that pool, on the disk: the target compares it with its digest and takes it. Answered
   * with `restored` when it has, also where it has already, or refused for good as `stopped` is.
   */
  z.object({
    type: z.literal('restore'),
    moveId: Id,
    vmId: Id,
    newEpoch: Positive,
    peerToken: z.string().max(256),
    pool: Name,
    mapped: z.literal(true).optional(),
    digest: Sha256,
    bytes: Positive,
  }),
  /** Of a post-copy whose way is cut: the target listens once more for what is left. Answered with `reopened`, `whole` or `gone`. */
  z.object({ type: z.literal('reopen'), moveId: Id, vmId: Id, newEpoch: Positive, peerToken: z.string().max(256) }),
  /**
   * The stream was called off before a fence was written, as nobody had approved of the switch-over yet: it comes anew. Answered with
   * `again`; the same round again has the same answer.
   */
  z.object({ type: z.literal('again'), moveId: Id, vmId: Id, newEpoch: Positive, peerToken: z.string().max(256), round: Positive }),
  /** What the guest wrote to its console before it came: the log at the target goes on from it. After `resumed`, and in nobody's way. */
  z.object({
    type: z.literal('console'),
    moveId: Id,
    vmId: Id,
    newEpoch: Positive,
    peerToken: z.string().max(256),
    data: z.base64().max(4 * Math.ceil(CONSOLE_TAIL / 3)),
  }),
] as const;
/** Those that carry the move's own token: all that the peer link takes. */
export const MoveRequest = z.discriminatedUnion('type', moveRequests);
export type MoveRequest = z.infer<typeof MoveRequest>;

/**
 * Between the two host agents of a move: over the target's peer link (NDJSON, TCP), or, where that is cut, through the gateway.
 * `peerToken` is `<target host>.<secret>`, made by prepare-target; it is what authenticates the source.
 */
export const PeerRequest = z.discriminatedUnion('type', [
  ...moveRequests,
  /** Where can the image of that digest be fetched? Only through the gateway, which knows who asks; never over the peer link. */
  z.object({ type: z.literal('image'), image: Name, digest: Sha256 }),
]);
export type PeerRequest = z.infer<typeof PeerRequest>;

export const PeerAnswer = z.discriminatedUnion('type', [
  /** `whole`: the stream is in, and the target has the guest to its last byte. An agent of before does not say. */
  z.object({ type: z.literal('waiting'), whole: z.boolean().optional() }),
  /** The guest runs on the target. `at` is the target's clock when it answered: the source takes the clocks' offset from it. */
  z.object({ type: z.literal('resumed'), newEpoch: Positive, resumedAt: Timestamp, at: Timestamp }),
  /** Final: the target's QEMU is gone and it recorded that it will never run this move; the source may take the guest back. */
  z.object({ type: z.literal('gone'), newEpoch: Positive, reason: z.string().max(512) }),
  /** `ticket` is good for this image, for a while; `address` is `address:port` of an HTTP server that takes it as a bearer's token. */
  z.object({
    type: z.literal('image'),
    address: z.string().max(255),
    ticket: z.string().max(256),
    format: StoredFormat,
    sizeMiB: Positive,
    bytes: Count,
  }),
  /** Of a `stopped`: all of it is done. */
  z.object({ type: z.literal('changed'), newEpoch: Positive, ms: z.number().nonnegative() }),
  /** Of a `restore`: the guest is whole here, and stands still. */
  z.object({ type: z.literal('restored'), newEpoch: Positive, ms: z.number().nonnegative() }),
  /** Of a `reopen`. `whole`: nothing is missing any more. */
  z.object({ type: z.literal('reopened'), migrationAddress: z.string().max(255) }),
  z.object({ type: z.literal('whole') }),
  /** Of an `again`: it waits for the stream there. */
  z.object({ type: z.literal('again'), newEpoch: Positive, migrationAddress: z.string().max(255) }),
  /** Of a `console`. */
  z.object({ type: z.literal('console-kept') }),
  z.object({ type: z.literal('refused'), cause: Cause }),
]);
export type PeerAnswer = z.infer<typeof PeerAnswer>;

/** How a transfer goes. On `progressTopic` it is the data of a CloudEvent of `moveProgressType`, with the host that sent it. */
export const MoveProgress = z.object({
  vmId: Id,
  moveId: Id,
  phase: z.string().max(64),
  bytesTotal: Count,
  bytesRemaining: Count,
  bytesTransferred: Count,
  dirtyPagesPerSecond: Count,
  mbps: z.number(),
  at: Timestamp,
});
export const moveProgressType = 'chrysalis.agent-gateway.move.progress.v1';

export const FromHostAgent = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('hello'),
    protocol: z.object({ min: Positive, max: Positive }),
    hostId: Name,
    agentVersion: z.string().max(64),
    token: z.string().max(4096),
    facts: HostFacts,
    vms: z.array(VmOnHost).max(10_000),
    /** The kinds that this agent runs, and how many tasks at a time; absent (an agent of version 1): it is offered nothing. */
    kinds: TaskKinds.optional(),
    capacity: Capacity.optional(),
    /** Absent: an agent that does not speak of segments, and is told nothing of them. */
    segments: segmentParts.optional(),
    /** Of each pool among its facts; an agent of before says nothing. */
    pools: z.array(PoolSeen).max(32).optional(),
    /** From version 3 on. */
    identity: HostAgentIdentity.optional(),
  }),
  z.object({
    type: z.literal('heartbeat'),
    seq: Count,
    at: Timestamp,
    vms: z.array(VmOnHost).max(10_000),
    keeps: Keeps.optional(),
    segments: segmentParts.optional(),
    pools: z.array(PoolSeen).max(32).optional(),
  }),
  /** Sent again after each reconnect until `report-ack`; kept on the host's disk meanwhile. */
  z.object({ type: z.literal('report'), report: TaskReport }),
  z.object({ type: z.literal('accepted'), workflowId: Id, task: TaskName, attempt: Positive, token: Positive }),
  /** At the start of an execution whose dispatch has `beginBy` or `heartbeatMs`, and then as often as that asks. May be lost. */
  z.object({ type: z.literal('task-heartbeat'), heartbeat: TaskHeartbeat }),
  z.object({ type: z.literal('bid'), bid: TaskBid }),
  /** Telemetry, not an event: may be lost. */
  MoveProgress.extend({ type: z.literal('progress') }),
  /** Passed on unread to the other host's agent, if it is connected: the way round a cut peer link. */
  z.object({ type: z.literal('peer-request'), id: Id, toHost: Name, request: PeerRequest }),
  z.object({ type: z.literal('peer-answer'), id: Id, toHost: Name, answer: PeerAnswer }),
  ...consoleFromAgent,
]);
export type FromHostAgent = z.infer<typeof FromHostAgent>;

export const ToHostAgent = z.discriminatedUnion('type', [
  /** `now`: the control plane's clock, by which deadlines are. */
  z.object({ type: z.literal('welcome'), protocol: Positive, sessionId: Id, heartbeatMs: Positive, now: Timestamp.optional() }),
  /**
   * `grant`: the signed grant that covers a task which goes into a guest; the agent in the guest verifies it again. `leftMs`: from when it
   * was sent until its deadline. The agent counts it from the receipt, by its monotonic clock. `revoked`: the grant was taken back since the
   * task was sent: it is not begun any more, stopped where it runs, and reported as what became of it.
   */
  z.object({
    type: z.literal('task'),
    dispatch: TaskDispatch,
    grant: z.string().max(16_384).optional(),
    leftMs: z.number().optional(),
    revoked: z.literal(true).optional(),
  }),
  /** May be answered by a `bid`; silence is no bid. */
  z.object({ type: z.literal('offer'), offer: TaskOffer, now: Timestamp.optional() }),
  z.object({ type: z.literal('cancel'), workflowId: Id, task: TaskName, token: Positive }),
  z.object({ type: z.literal('report-ack'), workflowId: Id, task: TaskName, action: z.enum(['run', 'compensate']), attempt: Positive }),
  z.object({ type: z.literal('peer-request'), id: Id, fromHost: Name, request: PeerRequest }),
  z.object({ type: z.literal('peer-answer'), id: Id, fromHost: Name, answer: PeerAnswer }),
  /** The addresses of all hosts that have a part of the segment, this one too. Sent to who speaks of segments, until it shows that it has heard. */
  z.object({ type: z.literal('segment-peers'), vni: Vni, version: Count, peers: z.array(z.string().max(255)).max(10_000) }),
  ...consoleToAgent,
  z.object({ type: z.literal('refused'), cause: Cause }),
]);
export type ToHostAgent = z.infer<typeof ToHostAgent>;
