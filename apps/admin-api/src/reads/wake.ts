import { listen } from '@chrysalis/event-store';
import type { ServiceContext } from '@chrysalis/service-kit';

/** What the projector notifies at each commit. */
const CHANNEL = 'chrysalis_read';

/**
 * Tells waiting requests that the read models changed: one LISTEN connection a process, whatever the number of waiters. A lost
 * notification costs a second, no more: waiters look again by themselves.
 */
export class Wake {
  readonly #waiters = new Set<() => void>();
  #stopped = false;
  readonly #stop = Promise.withResolvers<void>();

  async start(service: Pick<ServiceContext, 'config' | 'log'>): Promise<() => Promise<void>> {
    const deaf = await listen({
      connection: { connectionString: service.config.databaseUrl, application_name: 'chrysalis-admin-api-wake' },
      channel: CHANNEL,
      woken: () => this.#wakeAll(),
      onError: (err) => service.log.warn({ err }, 'the connection that listens for changes was lost'),
    });
    return async () => {
      this.#stopped = true;
      this.#stop.resolve();
      this.#wakeAll();
      await deaf();
    };
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** For streams that wait for something else than a change. */
  whenStopped(): Promise<void> {
    return this.#stop.promise;
  }

  /** Resolves at the next change, after `ms`, or when the signal aborts. */
  changed(ms: number, signal?: AbortSignal): Promise<void> {
    if (this.#stopped || signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiters.delete(done);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#waiters.add(done);
      signal?.addEventListener('abort', done);
    });
  }

  /** Looks, and looks again after each change, until `look` answers something or `ms` have passed. */
  async until<T>(ms: number, look: () => Promise<T | undefined>, signal?: AbortSignal): Promise<T | undefined> {
    for (const end = Date.now() + ms; ;) {
      const seen = await look();
      const left = end - Date.now();
      if (seen !== undefined || left <= 0 || this.#stopped || signal?.aborted) return seen;
      await this.changed(Math.min(left, 1_000), signal);
    }
  }

  #wakeAll(): void {
    for (const waiter of [...this.#waiters]) waiter();
  }
}
