import { origin, type EventStore, type StoredEvent } from '@chrysalis/event-store';
import { backoff, messageOf, Pause } from '../pause.ts';
import type { RelayState } from './types.ts';

export const checkpointName = 'relay';

/** The right to publish for a schema, held by one instance at a time. */
export type Lead = { lost(): boolean };

/**
 * Publishes in order and waits until the bus has it, for as long as that takes: the log is patient, and nothing may be left out.
 * `lost`: the relay stopped or lost its lead; `replay`: the bus was made anew, and the log's beginning has to go first.
 */
export const publish = async (state: RelayState, events: readonly StoredEvent[], lead: Lead): Promise<'done' | 'lost' | 'replay'> => {
  const { bus, route } = state.options;
  const messages = events.flatMap((event) => route(event));
  const pause = new Pause();
  for (let attempt = 0; !lead.lost(); attempt++) {
    try {
      // After any failure and on any new connection first this: a bus made anew may take the next event, and it must not come before
      // those that are gone.
      const line = bus.line?.();
      if (attempt > 0 || line !== state.line) await busIsNew(state);
      state.line = line;
      if (state.replay) return 'replay';
      if (messages.length > 0) await bus.publish(messages);
      state.published += events.length;
      state.faults.delete('publish');
      return 'done';
    } catch (error) {
      state.faults.set('publish', `publishing fails: ${messageOf(error)}`);
      await pause.wait(backoff(attempt + 1, 50, 1_000));
    }
  }
  return 'lost';
};

/**
 * Whether the bus was made anew since we last published: then all of it is gone from there. The checkpoint goes to the beginning
 * first, with a mark, so that a crash in the middle of the replay starts it again.
 */
export const busIsNew = async (state: RelayState): Promise<boolean> => {
  const { store, bus } = state.options;
  const { identity } = await bus.describe();
  const saved = await store.loadCheckpoint(checkpointName);
  const known = saved?.detail['bus'];
  if (known === identity) return false;
  state.replay ||= known !== undefined;
  if (known === undefined) await store.saveCheckpoint(checkpointName, saved ?? origin, { ...saved?.detail, bus: identity });
  else await store.saveCheckpoint(checkpointName, origin, { bus: identity, replay: true });
  return known !== undefined;
};

/** Notes that the log has to be published from the checkpoint on before a slot is followed. A replay's end takes the note away. */
export const oweReplay = async (store: EventStore): Promise<void> => {
  const saved = await store.loadCheckpoint(checkpointName);
  await store.saveCheckpoint(checkpointName, saved ?? origin, { ...saved?.detail, replay: true });
};
