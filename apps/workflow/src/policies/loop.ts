import type { ServiceContext } from '@chrysalis/service-kit';
import { serveSlot, startWaiting } from './rounds.ts';
import { toLookAt } from './sql.ts';

/** Looked for at least this often: what another instance wrote down and did not live to start, and what its limits held back. */
const ROUND_MS = 500;

/** Serves schedules and starts what waits. Any number of instances may run it: each row is one transaction's at a time. */
export class PolicyLoop {
  #wake: (() => void) | undefined;
  #woken = false;
  #stopped = false;
  #done: Promise<void> | undefined;

  constructor(private readonly service: ServiceContext) {}

  start(): void {
    this.#done = this.#loop();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake?.();
    await this.#done;
  }

  readonly noted = (): void => {
    this.#woken = true;
    this.#wake?.();
  };

  async #loop(): Promise<void> {
    while (!this.#stopped) {
      this.#woken = false;
      try {
        const { due, waiting } = await toLookAt(this.service.pool, this.service.schema);
        for (const name of due) await this.#guarded(name, serveSlot);
        for (const name of new Set([...due, ...waiting])) await this.#guarded(name, startWaiting);
      } catch (err) {
        this.service.log.warn({ err }, 'policies could not be looked at');
      }
      if (!this.#woken && !this.#stopped) await this.#sleep();
    }
  }

  /** A policy that cannot be handled does not hold up the others; the next round tries it again. */
  async #guarded(name: string, work: (service: ServiceContext, name: string) => Promise<unknown>): Promise<void> {
    if (this.#stopped) return;
    try {
      await work(this.service, name);
    } catch (err) {
      this.service.log.warn({ err, policy: name }, 'a policy could not be looked at');
    }
  }

  #sleep(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#wake?.(), ROUND_MS);
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve();
      };
    });
  }
}
