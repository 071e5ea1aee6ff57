import type { Claim, Seen } from '../claim.ts';
import { openShell } from '../provisioning/in-guest.ts';
import { after, slowly, writer } from './faults.ts';
import type { MoveLab } from './lab.ts';

const overFour: Claim<MoveLab> = {
  name: 'pre-copy: over four connections, from QEMU 7.2 to 10.0 and back',
  see: async (moves): Promise<Seen> => {
    const t = await moves.traveller('fast');
    const how = { streams: 4, maxBandwidthMiBps: 128 };
    const there = await moves.trip(t, await slowly(moves, t, how));
    const vm = await moves.shown(t.vmId);
    const back = await moves.trip(t, await slowly(moves, t, how));
    const seen = after(moves, vm, back, { state: 'succeeded' });
    return { ...seen, expected: { ...seen.expected, there: 'succeeded' }, observed: { ...seen.observed, there: there.ended.state } };
  },
};

/** What guests.ts shows to be given up is moved where its template says that the guest may be slowed. */
const slowed: Claim<MoveLab> = {
  name: 'pre-copy: a guest that writes its memory faster than the link is slowed until it can go',
  see: async (moves): Promise<Seen> => {
    const t = await moves.traveller('hurried');
    const vm = await moves.shown(t.vmId);
    await (
      await openShell(moves.lab, vm)
    )(writer);
    const trip = await moves.trip(t, await slowly(moves, t, { throttle: true, downtimeLimitMs: 300 }));
    const { vm: _, ...seen } = after(moves, vm, trip, { state: 'succeeded' }, false);
    await moves.end(t); // one that writes its memory for ever takes a CPU from all that come after
    return seen;
  },
};

export const preCopyClaims: readonly Claim<MoveLab>[] = [overFour, slowed];
