import { describe } from '@jest/globals';
import { delivery } from './delivery.ts';
import { effectsOnce } from './effects.ts';
import { lostBus } from './lost-bus.ts';
import { parking } from './parking.ts';
import { rigFor, type Adapter } from './rig.ts';

/** What services rely on, whichever bus is under them. */
export const busContract = (adapter: Adapter): void => {
  describe(`the event bus: ${adapter.name}`, () => {
    const rig = rigFor(adapter);
    delivery(adapter, rig);
    effectsOnce(adapter, rig);
    parking(rig);
    lostBus(adapter, rig);
  });
};
