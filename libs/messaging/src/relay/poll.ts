import { listen, origin, type Position } from '@chrysalis/event-store';
import { Pause } from '../pause.ts';
import { busIsNew, checkpointName, publish, type Lead } from './publisher.ts';
import type { RelayState } from './types.ts';

/** How often the bus is asked whether it is still the one we know. */
const identityMs = 5_000;

/**
 * Reads the log in its order and publishes what is new. Woken by appends of this process and by NOTIFY of others (see the store's
 * `notify`); both are hints. After a wake-up it looks each few milliseconds for a moment: what was just committed becomes readable
 * only when each older transaction has ended.
 */
export const runPoll = async (state: RelayState, lead: Lead, cutWith: (cut: () => void) => void): Promise<void> => {
  const pause = new Pause();
  let wokenAt = Date.now();
  const wake = (): void => {
    wokenAt = Date.now();
    pause.cut();
  };
  cutWith(wake);
  const unsubscribe = state.options.store.onAppend(wake);
  const { schema } = state.options;
  // What goes wrong with it is nothing to tell: a hint only, the poll goes on without.
  const deaf = await listen({ connection: state.connection, channel: `${schema}_events`, woken: wake });
  try {
    await busIsNew(state);
    for (let step = poller(state, lead); !lead.lost();) {
      const found = await step();
      state.faults.delete('lead');
      if (!found) await pause.wait(Date.now() - wokenAt < 100 ? 2 : 50);
    }
  } finally {
    unsubscribe();
    await deaf();
  }
};

/** One look at the log; true if there was something. */
const poller = (state: RelayState, lead: Lead): (() => Promise<boolean>) => {
  const { store, batch = 500 } = state.options;
  let saved: (Position & { detail: Record<string, unknown> }) | undefined;
  let identityAt = Date.now();
  return async () => {
    if (Date.now() - identityAt > identityMs) {
      await busIsNew(state).catch(() => false);
      identityAt = Date.now();
    }
    if (state.replay) [saved, state.replay] = [undefined, false];
    saved ??= (await store.loadCheckpoint(checkpointName)) ?? { ...origin, detail: {} };
    const events = await store.readAll(saved, batch);
    if (events.length === 0) return false;
    state.pending = events.length;
    const outcome = await publish(state, events, lead);
    if (outcome !== 'done') return true;
    const { transactionId, position } = events.at(-1)!;
    state.pending = 0;
    // Where another leader found the bus to be new, its place is the one to go on from.
    const { detail } = saved;
    const moved = await store.moveCheckpoint(checkpointName, { transactionId, position }, detail);
    saved = moved ? { transactionId, position, detail } : undefined;
    return true;
  };
};
