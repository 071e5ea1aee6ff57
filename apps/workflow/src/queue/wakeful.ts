import type { ServiceContext } from '@chrysalis/service-kit';
import pg from 'pg';

export type WakefulOptions = {
  readonly service: ServiceContext;
  /** Of PostgreSQL's notifications. */
  readonly channel: string;
  readonly pollMs: number;
  /** After a notification, before `work`. */
  readonly told: () => Promise<unknown>;
  readonly work: (why: 'woken' | 'poll') => Promise<void>;
};

/** Works when woken, when notified, and now and then; never twice at a time. A connection that listens is made anew when it is lost. */
export class Wakeful {
  #listener: pg.Client | undefined;
  #cut: (() => void) | undefined;
  #woken = false;
  #notified = false;
  #stopped = false;
  #done: Promise<void> | undefined;

  constructor(private readonly o: WakefulOptions) {}

  async start(): Promise<void> {
    await this.#listen();
    this.#done = this.#loop();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cut?.();
    await this.#done;
    await this.#listener?.end().catch(() => undefined);
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
        if (poll && !this.#listener) await this.#listen();
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

  async #listen(): Promise<void> {
    const { config, schema } = this.o.service;
    const client = new pg.Client({ connectionString: config.databaseUrl, application_name: `chrysalis-${schema}-queue` });
    client.on('error', () => (this.#listener = undefined)); // a hint only: the poll goes on without
    client.on('notification', () => {
      this.#notified = true;
      this.wake();
    });
    await client.connect();
    await client.query(`listen ${this.o.channel}`);
    this.#listener = client;
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
