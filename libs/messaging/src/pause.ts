/** Waits, and can be cut short. `cut` may be called at any time, also before the wait: then the next wait is over at once. */
export class Pause {
  #wake: (() => void) | undefined;
  #pending = false;

  async wait(ms: number): Promise<void> {
    if (this.#pending) {
      this.#pending = false;
      return;
    }
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
    this.#pending = false;
  }

  cut(): void {
    this.#pending = true;
    this.#wake?.();
  }
}

/** Doubles from `firstMs` up to `mostMs`; without chance, so that tests and logs repeat. */
export const backoff = (attempt: number, firstMs: number, mostMs: number): number => Math.min(firstMs * 2 ** (attempt - 1), mostMs);

export const messageOf = (error: unknown): string => {
  const message = (error as { message?: unknown } | null)?.message;
  if (typeof message === 'string' && message !== '') return message;
  return error instanceof Error ? error.name : String(error);
};
