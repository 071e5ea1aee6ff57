import { z } from 'zod';
import { Count, Id, Positive, Timestamp } from './shapes.ts';

const Share = z
  .string()
  .regex(/^([1-9]\d?|100)%$/, 'a share such as 10%')
  .describe('of the VMs of the set, rounded up');

/** So many moves at once; of a host and a rack those of other sets count as well, whoever began them. Absent: not limited by it. */
export const SetLimits = z
  .strictObject({
    perSource: Positive.max(1000).optional().describe('out of each host'),
    perTarget: Positive.max(1000).optional().describe('into each host'),
    perHost: Positive.max(1000).optional().describe('out of and into each host, together'),
    perRack: Positive.max(1000).optional().describe('out of and into the hosts of each rack, together'),
    fleet: Positive.max(10_000).optional().describe('of all sets of all tenants'),
  })
  .describe('moves at once, beside `concurrency`');
export type SetLimits = z.infer<typeof SetLimits>;

/** From its beginning to before its end moves of a set may begin. */
export const Window = z
  .strictObject({ from: Timestamp, until: Timestamp })
  .refine((w) => Date.parse(w.from) < Date.parse(w.until), 'a window ends after it begins');
export type Window = z.infer<typeof Window>;

/** Which of these is open at an instant, and which opens next. Those that overlap are one after another: the one that ends last counts. */
export const windowsAt = (windows: readonly Window[], at: string): { readonly open?: Window; readonly next?: Window } => {
  const now = Date.parse(at);
  const inTime = [...windows].sort((a, b) => Date.parse(a.from) - Date.parse(b.from));
  const open = inTime
    .filter((w) => Date.parse(w.from) <= now && now < Date.parse(w.until))
    .sort((a, b) => Date.parse(b.until) - Date.parse(a.until))[0];
  const next = inTime.find((w) => Date.parse(w.from) > now);
  return { ...(open ? { open } : {}), ...(next ? { next } : {}) };
};

/** How a set is gone through, beside how many move at once. */
export const SetPolicy = z.strictObject({
  canary: Positive.max(1000).optional().describe('so many go first, and each of them has to succeed before any other begins'),
  waves: z
    .strictObject({ first: Positive.max(1000), growth: Positive.max(10) })
    .optional()
    .describe('then so many, then `growth` times as many; the next wave begins when all of the one before have ended'),
  maxFailures: z
    .union([Positive.max(1000), Share])
    .optional()
    .describe('once so many moves did not succeed no further one begins; 1 unless told'),
  limits: SetLimits.optional(),
  windows: z
    .array(Window)
    .min(1)
    .max(100)
    .optional()
    .describe('moves begin within these alone; what has begun goes on, and with the last one the set ends'),
  after: z
    .record(Id, z.array(Id).min(1).max(100))
    .optional()
    .describe('by VM: begins only when the moves of these have succeeded; without them it does not begin'),
});
export type SetPolicy = z.infer<typeof SetPolicy>;

const DAY_MS = 86_400_000;
export const MOST_SET_DAYS = 30;
/** How a set is run: what is checked with its plan, and what it is run by unless its start says something else. */
export const SetRun = z.strictObject({
  concurrency: Positive.max(100).optional().describe('so many at a time; 1 unless told'),
  policy: SetPolicy.optional(),
  deadlineMs: Positive.max(MOST_SET_DAYS * DAY_MS)
    .optional()
    .describe('so long after its start nothing more of it begins; 7 days unless told, or until the end of its last window'),
});
export type SetRun = z.infer<typeof SetRun>;

/** What becomes of a paused set when its time is up: it ends, or it goes on. */
export const PauseThen = z.enum(['cancel', 'resume']);
export type PauseThen = z.infer<typeof PauseThen>;

/** How many moves came to what. `notBegun`: VMs of the plan that no move has begun for. */
export const SetCounts = z.object({ succeeded: Count, undone: Count, failed: Count, notBegun: Count });
export type SetCounts = z.infer<typeof SetCounts>;

/** Why nothing more of a set began at an instant although it has not ended. */
export const Pause = z.object({ reason: z.string().max(255), by: z.string().max(255).optional(), until: Timestamp, then: PauseThen });
export type Pause = z.infer<typeof Pause>;
