import { z } from 'zod';
import { Count } from '../shapes.ts';

/** An event that a consumer could not handle, with the reason. */
export const DeadLetter = z
  .object({
    context: z.string(),
    sequence: z.string(),
    consumer: z.string(),
    key: z.string(),
    eventId: z.string(),
    topic: z.string(),
    event: z.object({ id: z.string(), type: z.string(), subject: z.string(), time: z.string() }),
    reason: z.string(),
    attempts: Count,
    redrive: z.boolean(),
    at: z.string(),
  })
  .meta({ id: 'DeadLetter' });
export type DeadLetter = z.infer<typeof DeadLetter>;
export const Redriven = z.object({ requested: Count.describe('how many it concerns') });
export const Discarded = z.object({ discarded: z.boolean().describe('whether it was there') });

const MissingEvent = z.object({ topic: z.string(), id: z.string(), type: z.string(), stream: z.string(), version: Count, at: z.string() });
/** The last comparison of a service's log with the bus. `interrupted`: the process that made it ended before it did. */
export const RelayAudit = z
  .object({
    context: z.string(),
    state: z.enum(['none', 'running', 'ended', 'failed', 'interrupted']),
    fill: z.boolean().optional(),
    startedAt: z.string().optional(),
    endedAt: z.string().optional(),
    reason: z.string().optional(),
    result: z
      .object({
        judged: Count.describe('events of the log that the relay says are published'),
        missing: Count.describe('messages that these make, and that the bus does not have'),
        expired: Count.describe('older than all that their topic still keeps'),
        filled: Count.describe('of the missing, published again'),
        first: z.array(MissingEvent),
      })
      .optional(),
  })
  .meta({ id: 'RelayAudit' });
export type RelayAudit = z.infer<typeof RelayAudit>;

/** `unavailable` names the services that did not answer. */
export const ofServices = <S extends z.ZodType>(item: S) => z.object({ items: z.array(item), unavailable: z.array(z.string()) });
export const Ok = z.object({ ok: z.literal(true) });
export const TenantKeyTrusted = z.object({ tenant: z.string(), kid: z.string() });
