import { ConsoleRing, type ConsolePiece, type GuestConsole } from '../console.ts';
import { HypervisorError } from '../errors.ts';
import type { SimulatedVm } from './state.ts';

/** One white point. */
export const SIMULATED_SCREEN = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mP4DwABAQEAHLCMmQAAAABJRU5ErkJggg==',
  'base64',
);

/** A guest that writes back what is typed, as far as it runs. */
export class SimulatedConsole implements GuestConsole {
  readonly #ring = new ConsoleRing();

  constructor(
    private readonly vm: () => SimulatedVm,
    private readonly change: (change: Partial<SimulatedVm>) => void,
  ) {
    this.#ring.prepend(Buffer.from(vm().console));
  }

  get start(): number {
    return this.#ring.start;
  }
  get end(): number {
    return this.#ring.end;
  }
  read(from: number, max: number): ConsolePiece {
    return this.#ring.read(from, max);
  }
  listen(listener: (over: boolean) => void): () => void {
    return this.#ring.listen(listener);
  }

  async type(bytes: Buffer): Promise<void> {
    const { state } = this.vm();
    if (state === 'gone' || state === 'postmigrate') throw new HypervisorError('hypervisor.no_console', 'The simulated VM is off');
    if (state === 'running') this.say(bytes);
  }

  say(bytes: Buffer): void {
    this.#ring.add(bytes);
    this.#kept();
  }

  async continueFrom(move: string, before: Buffer): Promise<void> {
    if (this.vm().consoleCameBy === move) return;
    this.#ring.prepend(before);
    this.#kept(move);
  }

  over(): void {
    this.#ring.over();
  }

  #kept(move?: string): void {
    this.change({ console: this.#ring.kept.toString('utf8'), ...(move === undefined ? {} : { consoleCameBy: move }) });
  }
}
