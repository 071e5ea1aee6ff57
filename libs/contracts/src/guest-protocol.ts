import { z } from 'zod';
import { guestCode, type GuestCode } from './codes/index.ts';
import { Cause, Characterisation, Count, GuestFacts, Id, Positive, Sha256, Uuid } from './shapes.ts';

/** What a host and the migration agent in its guest say to each other over a virtio-serial port; see guest-protocol.md. */
export const GUEST_PROTOCOL = { min: 1, max: 1 } as const;
export const GUEST_PORT_NAME = 'com.chrysalis.agent.0';
/** Of one frame, with its delimiters. */
export const MAX_GUEST_FRAME_BYTES = 262_144;
/** Commands that may be in work at once, and messages that may be unacknowledged. */
export const GUEST_WINDOW = 64;

/** A refusal or failure on either side of the protocol; becomes a `Cause` on the wire. */
export class GuestError extends Error {
  override readonly name = 'GuestError';
  readonly code: GuestCode;
  readonly detail: unknown;
  constructor(code: GuestCode, message: string, detail?: unknown) {
    super(message);
    this.code = code;
    this.detail = detail;
  }
  /** A guest does not invent codes: one that is not of the list becomes `guest.failed`. */
  static from(cause: Cause): GuestError {
    return new GuestError(guestCode(cause.code) ?? 'guest.failed', cause.message, cause.detail);
  }
  toCause(): Cause {
    return { code: this.code, message: this.message.slice(0, 2048), ...(this.detail === undefined ? {} : { detail: this.detail }) };
  }
}

type Command<I extends z.ZodType = z.ZodType, O extends z.ZodType = z.ZodType> = Readonly<{
  input: I;
  output: O;
  /** What the grant must allow; `undefined`: every session may, so that an agent can be taken out after its grant ran out. */
  action: 'characterise' | 'reconfigure' | 'run-script' | undefined;
  /** May be executed again by a new agent process: it aims at a state, and says what is so. */
  repeatable: boolean;
}>;
const command = <I extends z.ZodType, O extends z.ZodType>(c: Command<I, O>): Command<I, O> => c;
const none = z.object({});
const Expected = z.object({
  bootId: z.string().max(64).optional(),
  vcpus: Positive.optional(),
  memoryMiB: Positive.optional(),
  disks: z
    .array(z.object({ serial: z.string().max(64), minBytes: Count }))
    .max(64)
    .optional(),
  macs: z.array(z.string().max(64)).max(64).optional(),
});

/** The commands of version 1. Inputs and outputs are those of the tasks `guest.<command>` without VM and epoch, which the host checks. */
export const guestCommands = {
  characterise: command({
    input: none,
    output: z.object({ characterisation: Characterisation }),
    action: 'characterise',
    repeatable: true,
  }),
  facts: command({ input: none, output: z.object({ facts: GuestFacts }), action: 'characterise', repeatable: true }),
  verify: command({
    input: z.object({ expect: Expected }),
    output: z.object({ facts: GuestFacts }),
    action: 'characterise',
    repeatable: true,
  }),
  'online-cpus': command({
    input: z.object({ vcpus: Positive }),
    output: z.object({ online: Count }),
    action: 'reconfigure',
    repeatable: true,
  }),
  'offline-cpus': command({
    input: z.object({ vcpus: Positive }),
    output: z.object({ online: Count }),
    action: 'reconfigure',
    repeatable: true,
  }),
  'online-memory': command({
    input: z.object({ memoryMiB: Positive }),
    output: z.object({ onlineMiB: Count }),
    action: 'reconfigure',
    repeatable: true,
  }),
  'grow-filesystem': command({
    /** By its serial number or device name: what the guest knows it by. */
    input: z.object({ disk: z.string().min(1).max(64) }),
    output: z.object({ beforeBytes: Count, afterBytes: Count }),
    action: 'reconfigure',
    repeatable: true,
  }),
  'run-script': command({
    input: z.object({
      script: z.string().max(65_536),
      timeoutMs: Positive.max(600_000),
      maxOutputBytes: Positive.max(65_536),
      runAs: z.enum(['root', 'nobody']).default('root'),
    }),
    output: z.object({
      exitCode: z.int(),
      stdout: z.string().max(65_536),
      stderr: z.string().max(65_536),
      truncated: z.boolean(),
      ms: z.number(),
    }),
    action: 'run-script',
    repeatable: false,
  }),
  shutdown: command({ input: none, output: none, action: undefined, repeatable: true }),
} as const;
export type GuestCommandName = keyof typeof guestCommands;
export type GuestInput<N extends GuestCommandName> = z.input<(typeof guestCommands)[N]['input']>;
export type GuestOutput<N extends GuestCommandName> = z.output<(typeof guestCommands)[N]['output']>;
export const isGuestCommand = (name: string): name is GuestCommandName => Object.hasOwn(guestCommands, name);

const Range = z.object({ min: Positive, max: Positive });
/** An idempotency id: the task key of the control plane. */
const CommandId = z.string().min(1).max(512);
const Outcome = z.discriminatedUnion('ok', [
  z.object({ ok: z.literal(true), output: z.record(z.string(), z.unknown()) }),
  z.object({ ok: z.literal(false), cause: Cause }),
]);
export type GuestOutcome = z.infer<typeof Outcome>;

/** What is delivered in order and once within a session. */
export const ToAgent = z.discriminatedUnion('type', [
  z.object({ type: z.literal('command'), id: CommandId, name: z.string().max(64), input: z.record(z.string(), z.unknown()) }),
  z.object({ type: z.literal('cancel'), id: CommandId }),
]);
export type ToAgent = z.infer<typeof ToAgent>;
export const FromAgent = z.discriminatedUnion('type', [
  z.object({ type: z.literal('result'), id: CommandId, outcome: Outcome }),
  z.object({ type: z.literal('progress'), id: CommandId, note: z.string().max(256) }),
]);
export type FromAgent = z.infer<typeof FromAgent>;

const link = [
  z.object({ t: z.literal('msg'), session: Uuid, seq: Positive, ack: Count, body: z.unknown() }),
  z.object({ t: z.literal('ack'), session: Uuid, ack: Count }),
  z.object({ t: z.literal('ping'), session: Uuid, ack: Count }),
] as const;

/** Frames from the host. `open` starts a session or takes it up again after a lost connection. */
export const HostFrame = z.discriminatedUnion('t', [
  z.object({
    t: z.literal('open'),
    session: Uuid,
    protocol: Range,
    vmId: Id,
    grant: z.string().max(16_384),
    ack: Count,
    /** Milliseconds since 1970 on the host: the agent reports its own, so that a skewed clock can be seen. */
    at: Count,
  }),
  ...link,
]);
export type HostFrame = z.infer<typeof HostFrame>;

const Agent = z.object({
  version: z.string().max(64),
  /** Of this agent process: another one knows nothing of earlier commands. */
  instance: Uuid,
  package: Sha256,
});
export type AgentIdentity = z.infer<typeof Agent>;
/** Frames from the agent. `hello` is said until a session opens. */
export const AgentFrame = z.discriminatedUnion('t', [
  z.object({ t: z.literal('hello'), protocol: Range, agent: Agent }),
  z.object({ t: z.literal('opened'), session: Uuid, protocol: Positive, agent: Agent, ack: Count, at: Count }),
  z.object({ t: z.literal('refused'), session: Uuid, cause: Cause }),
  ...link,
]);
export type AgentFrame = z.infer<typeof AgentFrame>;
