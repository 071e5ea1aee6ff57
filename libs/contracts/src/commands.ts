import { z } from 'zod';
import { Timestamp } from './shapes.ts';
import type { Context } from './topics.ts';

/**
 * A command that is taken as a message as well as by HTTP: `chrysalis.<context>.<noun>.<verb>.v<n>`, the verb as one orders. What it takes and
 * answers is declared here once, for the route and for the message. `fixed`: what of the route's path the type itself says.
 */
export type CommandContract = {
  readonly type: string;
  readonly summary: string;
  /** The names in the route's path, but for those that are `fixed`. */
  readonly params: readonly string[];
  readonly fixed: Readonly<Record<string, string>>;
  readonly body: z.ZodType;
  readonly answer: z.ZodType;
};

export const command = <B extends z.ZodType, A extends z.ZodType>(
  type: `chrysalis.${string}`,
  summary: string,
  shape: { params?: readonly string[]; fixed?: Readonly<Record<string, string>>; body: B; answer: A },
) => ({ type, summary, params: [], fixed: {}, ...shape }) satisfies CommandContract;

/** Where commands come in. Each carries a token: kept for an hour, see `commandsTopicConfig`. */
export const commandsTopic = 'chrysalis.commands';
const HOUR_MS = 3_600_000;
/** So far ahead a command may expire, and no further: what waits longer the topic has forgotten. Well below the time for which answers are kept. */
export const COMMAND_LIVES_MS = HOUR_MS;
/**
 * By the broker's clock, as a client's could say that its message is of next year. Only a segment that was closed is deleted, so one is closed every
 * ten minutes: without that a trickle of messages keeps the first one's token for a week.
 */
export const commandsTopicConfig = {
  'retention.ms': String(HOUR_MS),
  'segment.ms': String(HOUR_MS / 6),
  'cleanup.policy': 'delete',
  'message.timestamp.type': 'LogAppendTime',
} as const;

/** Where an answer may go: no topic of ours has such a name. */
export const ReplyTopic = z
  .string()
  .regex(/^chrysalis\.replies\.[a-z0-9][a-z0-9-]{0,62}$/)
  .describe('`chrysalis.replies.NAME`; it is made by whoever reads it, before the command is sent');

/** The attributes that a command needs, beside `type` and `replyto`. */
export const CommandAttributes = z.object({
  specversion: z.literal('1.0'),
  id: z
    .string()
    .regex(/^[\x20-\x7e]{1,255}$/)
    .describe('As in HTTP’s Idempotency-Key, and the same for both'),
  source: z.string().min(1).max(255),
  expirytime: Timestamp,
  correlationid: z
    .string()
    .regex(/^[\x20-\x7e]{1,128}$/)
    .optional(),
  traceparent: z.string().max(64).optional(),
});

/** A token in the data, not in an attribute: CloudEvents wants nothing secret there, where whoever passes a message on may log it. */
export const CommandData = z.strictObject({
  token: z.string().min(1).max(16_384).describe('As in `Authorization: Bearer`; roles and tenant are those of HTTP'),
  params: z.record(z.string(), z.string().min(1).max(255)).default({}).describe('What HTTP has in the path'),
  body: z.unknown().optional().describe('What HTTP has in the body'),
  dryRun: z.boolean().default(false).describe('All checks, the same refusals, and nothing is done'),
  ifMatch: z.string().max(64).optional().describe('As HTTP’s If-Match: an ETag, with its quotes'),
});

export const commandAnsweredType = (context: Context): string => `chrysalis.${context}.command.answered.v1`;
/** What HTTP answers: a success has a body, a refusal the problem document. */
export const CommandAnswer = z.object({
  status: z.int(),
  headers: z.record(z.string(), z.string()).describe('`location`, `idempotent-replay`, `retry-after`, where HTTP has them'),
  body: z.unknown().optional(),
  problem: z.looseObject({ type: z.string(), code: z.string(), status: z.int(), title: z.string() }).optional(),
});
export type CommandAnswer = z.infer<typeof CommandAnswer>;
