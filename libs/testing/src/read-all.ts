import { origin, type EventStore, type StoredEvent } from '@chrysalis/event-store';

/**
 * The first `count` events of the log, in its order. Waited for: the ordered read shows nothing that is younger than a transaction
 * that is still open anywhere on the server, and suites share one server.
 */
export const readAllOf = async (store: EventStore, count: number, timeoutMs = 20_000): Promise<StoredEvent[]> => {
  for (const until = Date.now() + timeoutMs; ;) {
    const events = await store.readAll(origin, count);
    if (events.length >= count || Date.now() > until) return events;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};
