import { randomUUID } from 'node:crypto';
import type { FromHostAgent, PeerAnswer, PeerRequest } from '@chrysalis/contracts';
import { WebSocket } from 'ws';

/** What goes to the gateway, over the session that is open now, if one is. `GatewayLink` opens and closes it. */
export class GatewayLine {
  #socket: WebSocket | undefined;
  #protocol = 0;
  readonly #asked = new Map<string, (answer: PeerAnswer) => void>();

  /** The gateway has welcomed this agent. */
  opened(socket: WebSocket, protocol: number): void {
    this.#socket = socket;
    this.#protocol = protocol;
  }

  closed(): void {
    this.#socket = undefined;
  }

  get open(): boolean {
    return this.#socket !== undefined;
  }

  /** That of the session, 0 before the first. */
  get protocol(): number {
    return this.#protocol;
  }

  /** False: not connected, nothing was sent. Reports are on disk and go again with the next welcome; progress may be lost. */
  send(frame: FromHostAgent): boolean {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  /** The way round a cut peer link. */
  askPeer(toHost: string, request: PeerRequest, timeoutMs: number): Promise<PeerAnswer> {
    const id = randomUUID();
    return new Promise((done, fail) => {
      if (!this.send({ type: 'peer-request', id, toHost, request })) return fail(new Error('the gateway is not connected'));
      const timer = setTimeout(() => (this.#asked.delete(id), fail(new Error('no answer through the gateway'))), timeoutMs);
      this.#asked.set(id, (answer) => (clearTimeout(timer), this.#asked.delete(id), done(answer)));
    });
  }

  /** To a question of `askPeer`; nothing where nobody waits for it any more. */
  answered(id: string, answer: PeerAnswer): void {
    this.#asked.get(id)?.(answer);
  }
}
