import { CONSOLE_BYTES, type HypervisorDriver } from '@chrysalis/hypervisor';
import type { SourceMove } from '../durable/vm-state.ts';
import type { AskPeer } from '../move/deps.ts';
import type { Logger as Log } from '@chrysalis/service-kit/log';

type Deps = { readonly driver: Pick<HypervisorDriver, 'consoleOf'>; readonly askPeer: AskPeer; readonly log: Log };
const PATIENCE_MS = 2_000;

/**
 * What a guest wrote to its console here goes to where it runs now, so that its log there goes on from it. Not in the move's way: it
 * begins when the target runs, and the source's end waits for it, for a while. A log that does not get there is a log lost, and no more.
 */
export class ConsoleHistory {
  readonly #going = new Map<string, Promise<void>>();

  constructor(private readonly deps: Deps) {}

  send(vmId: string, move: SourceMove): void {
    const going = this.#send(vmId, move).catch((err: unknown) => {
      this.deps.log.warn({ vmId, moveId: move.moveId, err }, 'the log of a console did not go along with its VM');
    });
    this.#going.set(vmId, going.then(() => void this.#going.delete(vmId))); // prettier-ignore
  }

  /** It is there, or it was given up. */
  async sent(vmId: string): Promise<void> {
    await this.#going.get(vmId);
  }

  async #send(vmId: string, { moveId, newEpoch, peerToken, peerAddress, targetHost: host }: SourceMove): Promise<void> {
    const console = this.deps.driver.consoleOf(vmId);
    const { bytes } = console.read(console.end - CONSOLE_BYTES, CONSOLE_BYTES);
    if (bytes.length === 0) return;
    const request = { type: 'console' as const, moveId, vmId, newEpoch, peerToken, data: bytes.toString('base64') };
    const answer = await this.deps.askPeer({ peerAddress, host }, request, PATIENCE_MS);
    if (answer.type !== 'console-kept') throw new Error(answer.type === 'refused' ? answer.cause.message : `answered ${answer.type}`);
  }
}
