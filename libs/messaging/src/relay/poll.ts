import { origin, type Position } from '@chrysalis/event-store';
import pg from 'pg';
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
  const listener = await listen(state, wake);
  try {
    for (let step = poller(state, lead); !lead.lost();) {
      if (!(await step())) await pause.wait(Date.now() - wokenAt < 100 ? 2 : 50);
    }
  } finally {
    unsubscribe();
    await listener.end().catch(() => undefined);
  }
};

/** One look at the log; true if there was something. */
const poller = (state: RelayState, lead: Lead): (() => Promise<boolean>) => {
  const { store, batch = 500 } = state.options;
  let place: Position | undefined;
  let identityAt = 0;
  return async () => {
    if (Date.now() - identityAt > identityMs) {
      await busIsNew(state).catch(() => false);
      identityAt = Date.now();
    }
    if (state.replay) [place, state.replay] = [origin, false];
    place ??= (await store.loadCheckpoint(checkpointName)) ?? origin;
    const events = await store.readAll(place, batch);
    if (events.length === 0) return false;
    state.pending = events.length;
    const outcome = await publish(state, events, lead);
    if (outcome !== 'done') return true;
    const { transactionId, position } = events.at(-1)!;
    place = { transactionId, position };
    await store.saveCheckpoint(checkpointName, place);
    state.pending = 0;
    return true;
  };
};

const listen = async (state: RelayState, wake: () => void): Promise<pg.Client> => {
  const client = new pg.Client(state.connection);
  client.on('error', () => undefined); // a hint only: the poll goes on without
  client.on('notification', wake);
  await client.connect();
  await client.query(`listen ${state.options.schema}_events`);
  return client;
};
