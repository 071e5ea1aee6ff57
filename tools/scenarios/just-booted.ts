import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { keepEvidence } from './pair/evidence.ts';
import { otherSide, Pair, type Side } from './pair/pair.ts';
import type { Recorder } from './scenario.ts';

/** A move of such a VM takes a second; what takes this long will not end by itself. */
const DEADLINE_MS = 30_000;
const HUNG_MS = 45_000;
/** From the first instruction of its firmware to its first process, and a little beyond. */
const SPREAD_MS = 3_000;
/** Until its agent answers at the target, on a machine that has more to do. */
const UP_MS = 60_000;

type Seen = { readonly ms: number; readonly ended: 'moved' | 'failed' | 'hung' | 'dead' };

/** A VM is booted, and moved at some moment of its start, again and again. What hangs, fails or never comes up leaves all that can be known of it. */
export const justBooted = async ({ signal, say, record, rounds }: Recorder): Promise<void> => {
  const begun = performance.now();
  const pair = await Pair.open();
  const evidence = path.join(process.cwd(), '.chrysalis', `just-booted-${process.pid}`);
  const seen: Seen[] = [];
  for (let i = 0; i < rounds && !signal.aborted; i++) {
    const one = await once(pair, i % 2 === 0 ? 'a' : 'b', Math.round((i * 0.618_034 * SPREAD_MS) % SPREAD_MS), evidence, say);
    seen.push(one);
    if (i % 10 === 9) say(`${i + 1} moves: ${JSON.stringify(summary(seen))}`);
  }
  await pair.close();
  const observed = summary(seen);
  record({
    name: `${rounds} moves of a VM that has just been booted`,
    group: 'just-booted',
    driver: 'qemu',
    expected: { moves: rounds, hung: 0, failed: 0, dead: 0, longestMs: observed.longestMs },
    observed,
    ok: observed.moves === rounds && observed.hung + observed.failed + observed.dead === 0,
    ms: performance.now() - begun,
    invariants: {},
  });
};

const summary = (seen: readonly Seen[]) => ({
  moves: seen.length,
  hung: seen.filter((s) => s.ended === 'hung').length,
  failed: seen.filter((s) => s.ended === 'failed').length,
  dead: seen.filter((s) => s.ended === 'dead').length,
  longestMs: Math.max(0, ...seen.map((s) => s.ms)),
});

const once = async (pair: Pair, from: Side, afterMs: number, evidence: string, say: (text: string) => void): Promise<Seen> => {
  const vmId = `vm-${randomUUID().slice(0, 8)}`; // short, so that its sockets are in its directory
  await pair.boot(from, vmId, randomUUID());
  await sleep(afterMs);
  const begun = performance.now();
  const { result, progress } = await pair.move(from, vmId, DEADLINE_MS);
  const end = await Promise.race([result, sleep(HUNG_MS, undefined, { ref: false })]);
  const ms = Math.round(performance.now() - begun);
  const alive = end?.ok && (await pair.up(otherSide(from), vmId, UP_MS));
  const ended = !end ? 'hung' : !end.ok ? 'failed' : alive ? 'moved' : 'dead';
  if (ended !== 'moved')
    say(`${ended} ${afterMs} ms after its boot, kept in ${await keepEvidence(pair, vmId, evidence, { afterMs, end, progress })}`);
  for (const host of [from, otherSide(from)]) await pair.drivers[host].destroy(vmId, { deleteVolumes: host !== from });
  return { ms, ended };
};
