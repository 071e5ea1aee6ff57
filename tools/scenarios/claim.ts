import { isDeepStrictEqual } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import type { VmView } from '../fleet/story.ts';
import { verify } from '../verifier/verify.ts';
import type { Lab } from './provisioning/lab.ts';
import type { Recorder, Scenario } from './scenario.ts';

/** What was to be seen and what was, member by member; `vm`: the one that it is about. */
export type Seen = { readonly expected: object; readonly observed: object; readonly vm?: VmView };
/** One line of the table. It begins with VMs in any state that another one may have left, and says nothing that it has not looked at. */
export type Claim<L = Lab> = { readonly name: string; readonly see: (lab: L) => Promise<Seen> };
/** A group that is a table: its claims one after another, on what they share. */
export type Table<L> = {
  readonly group: string;
  readonly claims: readonly Claim<L>[];
  readonly open: (say: (text: string) => void) => Promise<L>;
  /** Where the verifier looks. */
  readonly ground: (lab: L) => Lab;
  readonly close: (lab: L) => Promise<void>;
};

/** What comes comes soon, and is taken as it is when it has come, or when the time is over. */
export const settles = async (
  expected: object,
  look: () => Promise<object>,
  timeoutMs = 45_000,
): Promise<Pick<Seen, 'expected' | 'observed'>> => {
  const until = Date.now() + timeoutMs;
  let observed = await look();
  while (!isDeepStrictEqual(observed, expected) && Date.now() < until) {
    await sleep(100);
    observed = await look();
  }
  return { expected, observed };
};

/** Nothing expected is nothing shown, and what was never measured apart from it neither. */
export const holds = ({ expected, observed }: Pick<Seen, 'expected' | 'observed'>): boolean =>
  expected !== observed && Object.keys(expected).length > 0 && isDeepStrictEqual(observed, expected);

/** All of a table, or what is wanted of it, each judged by the verifier as well. */
export const runTable = async <L>(table: Table<L>, { signal, say, record, only }: Recorder): Promise<void> => {
  const wanted = table.claims.filter(({ name }) => only.length === 0 || only.some((part) => name.includes(part)));
  if (wanted.length === 0) throw new Error(`no scenario of ${table.group} has ${only.join(' or ')} in its name`);
  const lab = await table.open(say);
  try {
    for (const claim of wanted) if (!signal.aborted) record(await look(table, lab, claim));
  } finally {
    await table.close(lab);
  }
};

/** What could not be looked at to its end does not hold, and is the fault that is shown. */
const look = async <L>({ group, ground }: Table<L>, lab: L, claim: Claim<L>): Promise<Scenario> => {
  const begun = performance.now();
  const seen = await claim.see(lab).catch((error: unknown) => ({ expected: {}, observed: { failed: String(error) }, vm: undefined }));
  const { outside, run } = ground(lab);
  const monitors = () => (seen.vm ? outside.monitors(seen.vm) : []);
  const { invariants, faults } = await verify({ databaseUrl: run.platform.database.url, monitors });
  return {
    name: claim.name,
    group,
    driver: 'qemu',
    expected: seen.expected,
    observed: faults.length > 0 ? { ...seen.observed, faults } : seen.observed,
    ok: holds(seen) && Object.values(invariants).every(Boolean),
    ms: performance.now() - begun,
    invariants,
  };
};
