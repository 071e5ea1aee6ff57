import { catchUp } from './catch-up.ts';
import { Follower } from './follower.ts';
import { busIsNew, checkpointName, oweReplay, type Lead } from './publisher.ts';
import { advance, watchSlot } from './watch-slot.ts';
import { ensureSlot, freeSlot } from './slot.ts';
import type { RelayState } from './types.ts';
import type { Serial } from '../serial.ts';

/**
 * Follows PostgreSQL's own log: events come in commit order, right after their commit, whatever other transactions do. The slot is the
 * checkpoint: it is moved after the bus has acknowledged, never before. (The library would also move it by a timer, over what is
 * still in our hands; that is switched off, and keepalives are answered here.)
 */
export const runLogical = async (state: RelayState, query: Serial, lead: Lead, cutWith: (cut: () => void) => void): Promise<void> => {
  const { store, schema } = state.options;
  const slot = await ensureSlot(query, schema, () => oweReplay(store));
  await freeSlot(query, slot.name);
  await busIsNew(state);
  const owed = (await store.loadCheckpoint(checkpointName))?.detail['replay'] === true;
  if (owed && !(await catchUp(state, lead))) return;
  const { transactionId: before = '0' } = (await store.loadCheckpoint(checkpointName)) ?? {};
  const follower = new Follower({ state, lead, slot, query, before: BigInt(before) });
  cutWith(() => follower.cut());
  const watch = watchSlot(state, query, slot.name, follower);
  try {
    await follower.run();
  } finally {
    follower.cut();
    await watch;
    if (follower.shares) await advance(query, slot.name, follower).catch(() => undefined); // else it comes again
  }
};
