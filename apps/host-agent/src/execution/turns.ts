/**
 * What a task may run beside, on one VM. `guest`: asks the agent in the guest, which keeps its own order; beside others of its kind and
 * of `hardware`. `hardware`: one of them at a time. `whole`: it begins, ends, moves or takes from the VM, so nothing else is under way.
 */
export type Turn = 'guest' | 'hardware' | 'whole';

type Waiting = { readonly turn: Turn; readonly start: () => void };
const beside = (a: Turn, b: Turn): boolean => a !== 'whole' && b !== 'whole' && !(a === 'hardware' && b === 'hardware');

/** In the order of asking: nobody overtakes one that may not run beside it, so none waits for ever. */
export class Turns {
  readonly #running: Turn[] = [];
  #waiting: Waiting[] = [];

  get idle(): boolean {
    return this.#running.length === 0 && this.#waiting.length === 0;
  }

  async run<T>(turn: Turn, work: () => Promise<T>): Promise<T> {
    await new Promise<void>((start) => {
      this.#waiting.push({ turn, start });
      this.#next();
    });
    try {
      return await work();
    } finally {
      this.#running.splice(this.#running.indexOf(turn), 1);
      this.#next();
    }
  }

  #next(): void {
    const held: Waiting[] = [];
    for (const waiting of this.#waiting) {
      const free = [...this.#running, ...held.map((w) => w.turn)].every((other) => beside(waiting.turn, other));
      if (!free) {
        held.push(waiting);
        continue;
      }
      this.#running.push(waiting.turn);
      waiting.start();
    }
    this.#waiting = held;
  }
}
