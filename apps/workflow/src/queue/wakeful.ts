import { listen } from '@chrysalis/event-store';
import type { ServiceContext } from '@chrysalis/service-kit';

export type WakefulOptions = {
  readonly service: ServiceContext;
  /** Of PostgreSQL's notifications. */
  readonly channel: string;
  readonly pollMs: number;
  /** After a notification, before `work`. */
  readonly told: () => Promise<unknown>;
  readonly work: (why: 'woken' | 'poll') => Promise<void>;
};

/** Works when woken, when notified, and now and then; never twice at a time. */
export class Wakeful {
  #deaf: (() => Promise<void>) | undefined;
  #cut: (() => void) | undefined;
  #woken = false;
  #notified = false;
  #stopped = false;
  #done: Promise<void> | undefined;

  constructor(private readonly o: WakefulOptions) {}

  async start(): Promise<void> {
    const { config, schema, log } = this.o.service;
    this.#deaf = await listen({
      connection: { connectionString: config.databaseUrl, application_name: `chrysalis-${schema}-queue` },
      channel: this.o.channel,
      woken: () => {
        this.#notified = true;
        this.wake();
      },
      onError: (err) => log.warn({ err }, 'the connection that listens was lost'), // a hint only: the poll goes on without
    });
    this.#done = this.#loop();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cut?.();
    await this.#done;
    await this.#deaf?.();
  }

  readonly wake = (): void => {
    this.#woken = true;
    this.#cut?.();
  };

  async #loop(): Promise<void> {
    for (let polledAt = 0; !this.#stopped;) {
      const left = polledAt + this.o.pollMs - Date.now();
      if (left > 0 && !this.#woken) await this.#sleep(left);
      if (this.#stopped) return;
      const poll = Date.now() >= polledAt + this.o.pollMs;
      if (poll) polledAt = Date.now();
      this.#woken = false;
      try {
        if (this.#notified) await this.#hear();
        await this.o.work(poll ? 'poll' : 'woken');
      } catch (err) {
        this.o.service.log.warn({ err }, 'the queue could not be looked at');
        await this.#sleep(200);
      }
    }
  }

  async #hear(): Promise<void> {
    this.#notified = false;
    await this.o.told();
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#cut?.(), ms);
      this.#cut = () => {
        clearTimeout(timer);
        this.#cut = undefined;
        resolve();
      };
    });
  }
}
