import type { Client } from '@chrysalis/api-client';
import type { Claim, Seen } from '../claim.ts';
import { slowly } from './faults.ts';
import type { MoveLab } from './lab.ts';

type MoveProgress = ReturnType<Client['progress']> extends AsyncGenerator<infer P> ? P : never;
type Heard = { readonly at: number; readonly progress: MoveProgress };
const phases = ['setup', 'active', 'device', 'pre-switchover', 'completed'];

/** What a move tells of itself while it runs: soon, often enough, and never backwards. */
const told: Claim<MoveLab> = {
  name: 'a slow transfer tells how far it is: within a second, twice a second, and never less than before',
  see: async (moves): Promise<Seen> => {
    const t = await moves.traveller('victim');
    const vm = await moves.shown(t.vmId);
    const template = await slowly(moves, t);
    const heard: Heard[] = [];
    const listening = new AbortController();
    const watching = (async () => {
      for await (const progress of moves.lab.api.progress({ vm: t.vmId, signal: listening.signal }))
        heard.push({ at: Date.now(), progress });
    })().catch(() => undefined);
    const id = await moves.begin(template, [t.vmId]);
    const ended = await moves.ended(id);
    listening.abort();
    await watching;
    const step = ended.moves[0]!.steps.find((s) => s.kind === 'host.transfer');
    const spanMs = heard.at(-1)!.at - heard[0]!.at;
    const rising = (of: (p: MoveProgress) => number): boolean =>
      heard.every(({ progress }, i) => i === 0 || of(progress) >= of(heard[i - 1]!.progress));
    const observed = {
      state: ended.state,
      firstWithin1s: spanMs >= (step?.ms ?? Infinity) - 1_500, // the step begins and ends at its host's report
      twoASecond: heard.length >= 2 * (spanMs / 1000),
      neverBackwards: rising((p) => p.bytesTransferred),
      phasesInOrder: rising((p) => phases.indexOf(p.phase)),
      total: heard.every(({ progress: p }) => p.bytesTotal >= p.bytesRemaining),
    };
    const all = { firstWithin1s: true, twoASecond: true, neverBackwards: true, phasesInOrder: true, total: true };
    const note = { samples: heard.length, spanMs, stepMs: step?.ms, phases: [...new Set(heard.map((h) => h.progress.phase))] };
    const ok = Object.values(observed).every((v) => v === true || v === 'succeeded');
    return { expected: { state: 'succeeded', ...all }, observed: ok ? observed : { ...observed, note }, vm };
  },
};

export const progressClaims: readonly Claim<MoveLab>[] = [told];
