import { createRequire } from 'node:module';

type RequestQueue = { readonly pending: readonly unknown[]; readonly throttledUntil: number; scheduleCheckPendingRequests(): void };
const { prototype } = createRequire(import.meta.url)('kafkajs/src/network/requestQueue') as { readonly prototype: RequestQueue };
const schedule = prototype.scheduleCheckPendingRequests;

/**
 * kafkajs 2.2.4 looks after each answer for requests that wait, and sets a timer to look again: where nothing throttles the connection, for a
 * time long past, which Node takes as 1 ms and warns of. So an idle connection looked a thousand times a second. Where nothing waits and
 * nothing throttles there is nothing to look for: whoever puts a request in the queue has it look.
 */
prototype.scheduleCheckPendingRequests = function (this: RequestQueue): void {
  if (this.pending.length > 0 || this.throttledUntil > Date.now()) schedule.call(this);
};
