import { setTimeout as pause } from 'node:timers/promises';
import type { ImageFile } from '@chrysalis/contracts';

/** As long as a request waits for what goes on beside it. */
const WAIT_MS = 4_000;
const KEPT_FAILURES = 100;

/** Works that take longer than a request may, one for each name. A failure is told to whoever asks next, once. */
export class Background {
  readonly #running = new Map<string, Promise<ImageFile>>();
  readonly #failed = new Map<string, unknown>();

  /** The end of the work of this name, begun now unless it is under way; or `meanwhile`, where it takes longer. */
  async result(name: string, work: () => Promise<ImageFile>, meanwhile: () => ImageFile): Promise<ImageFile> {
    this.throwFailure(name);
    const running = this.#running.get(name) ?? this.#begin(name, work);
    const slow = Symbol('slow');
    const first = await Promise.race([running, pause(WAIT_MS, slow, { ref: false })]).catch((error: unknown) => {
      this.#failed.delete(name); // it is told now
      throw error;
    });
    return first === slow ? meanwhile() : (first as ImageFile);
  }

  throwFailure(name: string): void {
    if (!this.#failed.has(name)) return;
    const error = this.#failed.get(name);
    this.#failed.delete(name);
    throw error;
  }

  #begin(name: string, work: () => Promise<ImageFile>): Promise<ImageFile> {
    const running = work()
      .catch((error: unknown) => {
        if (this.#failed.size >= KEPT_FAILURES) this.#failed.delete(this.#failed.keys().next().value!);
        this.#failed.set(name, error);
        throw error;
      })
      .finally(() => this.#running.delete(name));
    running.catch(() => undefined);
    this.#running.set(name, running);
    return running;
  }
}
