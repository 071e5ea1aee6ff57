import { randomUUID } from 'node:crypto';
import { BIDS_SINCE, type Code, faultText, FromHostAgent, MAX_AGENT_FRAME_BYTES, type ToHostAgent } from '@chrysalis/contracts';
import { isDeeperThan, storable } from '@chrysalis/kernel';
import type { Logger } from 'pino';
import { WebSocket, type RawData } from 'ws';

export type Frame = Exclude<FromHostAgent, { type: 'hello' }>;
export type Hello = Extract<FromHostAgent, { type: 'hello' }>;
export type ConnectionHandlers = {
  /** The first frame; answers whether the connection may go on. */
  readonly hello: (connection: Connection, hello: Hello) => Promise<boolean>;
  readonly frame: (connection: Connection, frame: Frame) => Promise<void>;
  readonly closed: (connection: Connection) => void;
};

const HELLO_WITHIN_MS = 5_000;
const CLOSE_WITHIN_MS = 1_000;
const MAX_DEPTH = 100;
/** Frames that wait their turn before the socket is no longer read. */
const QUEUE_HIGH = 64;
const QUEUE_LOW = 16;

/**
 * One host agent's WebSocket. Frames are taken one after another, in order; a peer that sends faster than they are taken is not read.
 * A frame that is too large, malformed, or not expected gets `refused` with its code, and the connection ends: nothing was changed.
 */
export class Connection {
  readonly id = randomUUID();
  /** Set by a good hello. */
  hostId: string | undefined;
  tenant = '';
  protocol = 1;
  readonly #helloTimer: NodeJS.Timeout;
  #queue: Promise<void> = Promise.resolve();
  #waiting = 0;
  #ended = false;

  constructor(
    private readonly socket: WebSocket,
    private readonly handlers: ConnectionHandlers,
    private readonly log: Logger,
    /** What the agent signs to show who it is; and where it came from. */
    readonly from: { readonly nonce: string; readonly address: string },
  ) {
    this.#helloTimer = setTimeout(() => this.refuse('agent.hello_missing', `no hello in ${HELLO_WITHIN_MS} ms`), HELLO_WITHIN_MS);
    socket.on('message', (data, binary) => this.#receive(data, binary));
    socket.on('error', (err) => log.debug({ err, hostId: this.hostId }, 'agent connection'));
    socket.on('close', () => this.#close());
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** What the session's version does not know is not sent: the agent would end the connection over it. */
  send(frame: ToHostAgent): void {
    const sinceBids = frame.type === 'offer' || (frame.type === 'peer-request' && frame.request.type === 'image');
    if (sinceBids && this.protocol < BIDS_SINCE) return;
    if (!this.#ended && this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(frame));
  }

  /** Says why and ends. 1008: policy; 1009: too large. */
  refuse(code: Code, message: string, closeCode = 1008): void {
    if (this.#ended) return;
    this.log.warn({ hostId: this.hostId, code, message }, 'agent refused');
    this.send({ type: 'refused', cause: { code, message: message.slice(0, 2000) } });
    this.end(closeCode, code);
  }

  end(closeCode = 1001, reason = ''): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#helloTimer);
    this.socket.close(closeCode, reason.slice(0, 120));
    setTimeout(() => this.socket.terminate(), CLOSE_WITHIN_MS).unref(); // a peer that does not close is closed
  }

  #close(): void {
    this.#ended = true;
    clearTimeout(this.#helloTimer);
    this.handlers.closed(this);
  }

  #receive(data: RawData, binary: boolean): void {
    if (this.#ended) return;
    const bytes = data as Buffer;
    if (bytes.length > MAX_AGENT_FRAME_BYTES)
      return this.refuse('agent.frame_too_large', `${bytes.length} bytes, at most ${MAX_AGENT_FRAME_BYTES}`, 1009);
    if (binary) return this.refuse('agent.frame_malformed', 'frames are text');
    if (++this.#waiting >= QUEUE_HIGH) this.socket.pause();
    this.#queue = this.#queue
      .then(() => this.#take(bytes))
      .finally(() => {
        if (--this.#waiting <= QUEUE_LOW && this.socket.isPaused) this.socket.resume();
      });
  }

  async #take(bytes: Buffer): Promise<void> {
    if (this.#ended) return;
    const read = readFrame(bytes);
    if (!read.ok) return this.refuse('agent.frame_malformed', read.fault);
    const { frame } = read;
    try {
      if (frame.type !== 'hello') {
        if (this.hostId === undefined) return this.refuse('agent.hello_missing', 'the first frame is hello');
        return await this.handlers.frame(this, frame);
      }
      if (this.hostId !== undefined) return this.refuse('agent.hello_repeated', 'hello was said');
      if (await this.handlers.hello(this, frame)) clearTimeout(this.#helloTimer);
    } catch (err) {
      // Not the agent's fault: it keeps what it has and comes again.
      this.log.error({ err, hostId: this.hostId, type: frame.type }, 'a frame could not be taken');
      this.end(1011, 'gateway.fault');
    }
  }
}

const readFrame = (bytes: Buffer): { ok: true; frame: FromHostAgent } | { ok: false; fault: string } => {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    return { ok: false, fault: 'not JSON' };
  }
  if (isDeeperThan(value, MAX_DEPTH)) return { ok: false, fault: `nested more than ${MAX_DEPTH} deep` };
  // A report that no event can hold would never be acknowledged, and its host never heard again: any guest's script could do that.
  const read = FromHostAgent.safeParse(storable(value));
  if (read.success) return { ok: true, frame: read.data };
  return { ok: false, fault: faultText(read.error) };
};
