import type { Claim, Seen } from '../claim.ts';
import { openShell } from '../provisioning/in-guest.ts';
import { after, slowly, writer } from './faults.ts';
import type { MoveLab } from './lab.ts';

/** It writes three times as fast as it is sent, so that pre-copy does not move it: guests.ts shows that. */
const moved: Claim<MoveLab> = {
  name: 'post-copy: a guest that writes its memory faster than the link, which no pre-copy moves, goes from QEMU 7.2 to 10.0',
  see: async (moves): Promise<Seen> => {
    const t = await moves.traveller('late');
    const vm = await moves.shown(t.vmId);
    await (
      await openShell(moves.lab, vm)
    )(writer);
    const trip = await moves.trip(t, await slowly(moves, t, {}, 'post-copy'));
    return after(moves, vm, trip, { state: 'succeeded' }, false);
  },
};

export const postCopyClaims: readonly Claim<MoveLab>[] = [moved];
