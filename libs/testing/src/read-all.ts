type Log<E> = { readAll(after: { transactionId: string; position: string }, limit: number): Promise<E[]> };

/**
 * The first `count` events of a log, in its order. Waited for: the ordered read shows nothing that is younger than a transaction that
 * is still open anywhere on the server, and suites share one server.
 */
export const readAllOf = async <E>(store: Log<E>, count: number, timeoutMs = 20_000): Promise<E[]> => {
  for (const until = Date.now() + timeoutMs; ;) {
    const events = await store.readAll({ transactionId: '0', position: '0' }, count);
    if (events.length >= count || Date.now() > until) return events;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};
