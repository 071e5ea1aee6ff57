import type { BodyOf } from '@chrysalis/api-client';
import { InvalidArgumentError, type Command } from 'commander';
import { collect, duration, positive, vmOf, type Run } from '../command.ts';

type StartBody = BodyOf<'post', '/v1/migrations'>;
type Policy = NonNullable<StartBody['policy']>;

/** `3`, or `10%` of the VMs. */
const failures = (text: string): number | string => {
  if (/^([1-9]\d?|100)%$/.test(text)) return text;
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError('a number such as 3, or a share such as 10%');
  return Number(text);
};

/** `5`, five at a time; `5x2`, then twice as many, and so on. */
const waves = (text: string): Policy['waves'] => {
  const m = /^([1-9]\d*)(?:x([1-9]|10))?$/.exec(text);
  if (!m) throw new InvalidArgumentError('a size such as 5, or 5x2 where each wave is twice the one before');
  return { first: Number(m[1]), growth: Number(m[2] ?? 1) };
};

type Pair = readonly [vm: string, before: string];
const pairs = (text: string, before: readonly Pair[] = []): Pair[] => {
  const added = collect(text).map((part): Pair => {
    const [vm, first, ...more] = part.split('=');
    if (!vm || !first || more.length > 0) throw new InvalidArgumentError('VM=VM, such as db=web: db begins once web has moved');
    return [vm, first];
  });
  return [...before, ...added];
};

/** `2026-12-01T22:00Z/2026-12-02T04:00Z`, as ISO 8601 writes an interval. */
const intervals = (text: string, before: NonNullable<Policy['windows']> = []): NonNullable<Policy['windows']> => {
  const added = collect(text).map((part) => {
    const [from, until, ...more] = part.split('/').map((t) => Date.parse(t));
    if (from === undefined || until === undefined || more.length > 0 || Number.isNaN(from + until))
      throw new InvalidArgumentError('FROM/UNTIL, such as 2026-12-01T22:00Z/2026-12-02T04:00Z');
    return { from: new Date(from).toISOString(), until: new Date(until).toISOString() };
  });
  return [...before, ...added];
};

/** How a set of VMs is gone through: of whatever starts a migration. */
export const setOptions = (command: Command): Command =>
  command
    .option('--concurrency <n>', 'so many at a time', positive)
    .option('--canary <n>', 'so many first; no other begins unless each of them has succeeded', positive)
    .option('--waves <n>', 'so many, then as many again once those have ended; 5x2: then twice as many', waves)
    .option('--max-failures <n>', 'begin nothing more once so many moves, or such a share (10%), did not succeed', failures)
    .option('--per-source <n>', 'so many at once out of each host', positive)
    .option('--per-target <n>', 'so many at once into each host', positive)
    .option('--per-host <n>', 'so many at once out of and into each host', positive)
    .option('--per-rack <n>', 'so many at once out of and into each rack', positive)
    .option('--fleet <n>', 'so many at once in the whole fleet, whoever moves them', positive)
    .option('--after <vm=vm>', 'db=web: db begins once web has moved; more than once, or separated by commas', pairs)
    .option(
      '--window <from/until>',
      'begin moves between these instants alone, 2026-12-01T22:00Z/2026-12-02T04:00Z; again, or separated by commas, for more',
      intervals,
    )
    .option('--deadline <time>', 'begin nothing more after so long, e.g. 8h; 7 days unless told, or the end of the last window', duration);

const afterOf = async ({ client, options }: Run): Promise<Policy['after']> => {
  const given: readonly Pair[] = options['after'] ?? [];
  const after: Record<string, string[]> = {};
  for (const [vm, before] of given) {
    const [id, other] = [(await vmOf(client, vm)).vmId, (await vmOf(client, before)).vmId];
    after[id] = [...(after[id] ?? []), other];
  }
  return given.length > 0 ? after : undefined;
};

const said = <T extends object>(members: T): T | undefined => {
  const given = Object.entries(members).filter(([, v]) => v !== undefined);
  return given.length > 0 ? (Object.fromEntries(given) as T) : undefined;
};

/** Nothing, where nothing is said. */
export const howToGo = async (run: Run): Promise<Omit<StartBody, 'planId'>> => {
  const {
    concurrency,
    canary,
    waves: sizes,
    maxFailures,
    perSource,
    perTarget,
    perHost,
    perRack,
    fleet,
    deadline,
    window: windows,
  } = run.options;
  const limits = said({ perSource, perTarget, perHost, perRack, fleet });
  const policy = said({ canary, waves: sizes, maxFailures, limits, windows, after: await afterOf(run) }) as Policy | undefined;
  return { ...said({ concurrency, deadlineMs: deadline }), ...(policy ? { policy } : {}) };
};

/** The same as a part of a plan that is asked for: it is checked with it, and run by it. */
export const asPlanned = async (run: Run): Promise<{ run?: Omit<StartBody, 'planId'> }> => {
  const how = await howToGo(run);
  return Object.keys(how).length > 0 ? { run: how } : {};
};
