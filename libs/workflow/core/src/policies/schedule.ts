import { Cron } from 'croner';

/** Of the schedule, the last slot that is due and how many due ones lie before it. */
export type DueSlots = { readonly latest: string; readonly missed: number };

/** Slots that nobody served are counted no further than this. */
const MAX_COUNTED = 100;
/** `?` stands for the present moment in this parser, and a date is no expression: neither would be the same for two instances. */
const FORM = /^[0-9A-Za-z*,/#-]+( [0-9A-Za-z*,/#-]+){4,5}$/;

const cronOf = (schedule: string, timezone = 'UTC'): Cron => new Cron(schedule, { timezone, paused: true, mode: '5-or-6-parts' });

/** The first slot after `after` (ISO 8601), in UTC; `undefined` where there is none for as far as the parser looks. */
export const nextSlot = (schedule: string, timezone: string | undefined, after: string): string | undefined =>
  cronOf(schedule, timezone).nextRun(new Date(after))?.toISOString();

/** What is due at `now` of a schedule whose next slot was `next`: the catch-up rule is that only the latest slot is served. */
export const dueSlots = (schedule: string, timezone: string | undefined, next: string, now: string): DueSlots | undefined => {
  if (next > now) return undefined;
  const cron = cronOf(schedule, timezone);
  const [latest] = cron.previousRuns(1, new Date(Date.parse(now) + 1)).map((d) => d.toISOString());
  if (latest === undefined || latest <= next) return { latest: next, missed: 0 };
  let missed = 0;
  for (let slot: string | undefined = next; slot !== undefined && slot < latest && missed < MAX_COUNTED; missed++)
    slot = cron.nextRun(new Date(slot))?.toISOString();
  return { latest, missed };
};

/** What is wrong with an expression or a time zone, in words; `undefined`: nothing. */
export const scheduleFault = (schedule: string, timezone: string | undefined): string | undefined => {
  if (!FORM.test(schedule)) return '5 fields (minute hour day month weekday), or 6 with seconds first';
  try {
    return nextSlot(schedule, timezone, '2024-01-01T00:00:00.000Z') === undefined ? 'no moment ever fits it' : undefined;
  } catch (error) {
    return String((error as Error).message)
      .split('. ')[0]!
      .slice(0, 200);
  }
};
