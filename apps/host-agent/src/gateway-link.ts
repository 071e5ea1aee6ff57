import {
  AGENT_NONCE_HEADER,
  AGENT_PROTOCOL,
  MAX_AGENT_FRAME_BYTES,
  isConsoleFrame,
  ToHostAgent,
  type ConsoleToAgent,
  type HostAgentIdentity,
  type FromHostAgent,
  type Keeps,
  type PeerAnswer,
  type PeerRequest,
  type PoolSeen,
  type SegmentPart,
  type TaskOffer,
} from '@chrysalis/contracts';
import { WebSocket } from 'ws';
import type { Logger as Log } from '@chrysalis/service-kit/log';
import type { GatewayLine } from './gateway-line.ts';

type Hello = Extract<FromHostAgent, { type: 'hello' }>;
type Options = {
  readonly line: GatewayLine;
  readonly url: string;
  readonly reconnect: { readonly minMs: number; readonly maxMs: number };
  readonly hello: () => Promise<Omit<Hello, 'type' | 'protocol' | 'identity'>>;
  /** Who this agent is, for this connection alone. */
  readonly prove: (nonce: string) => HostAgentIdentity;
  readonly vms: () => Hello['vms'];
  readonly keeps: () => Keeps;
  readonly segments: () => readonly SegmentPart[];
  readonly pools: () => readonly PoolSeen[];
  /** The gateway knows us: what waits to be said is said again now. */
  readonly welcomed: () => void;
  readonly offered: (offer: TaskOffer) => void;
  /** The control plane's time, in a frame that came just now; `undefined` before a connection is made anew. */
  readonly clock: (now: string | undefined) => void;
  readonly console: (frame: ConsoleToAgent) => void;
  /** The connection is gone. */
  readonly lost: () => void;
  readonly take: (frame: Extract<ToHostAgent, { type: 'task' | 'cancel' | 'report-ack' }>) => void;
  readonly segmentPeers: (vni: number, version: number, peers: readonly string[]) => void;
  readonly answerPeer: (request: PeerRequest) => Promise<PeerAnswer>;
  readonly log: Log;
  readonly random?: () => number;
};
const BEAT_WITHIN_MS = 20;

/** The agent's one connection to the control plane. Lost, it comes again, with waits that double up to a limit and differ by chance. */
export class GatewayLink {
  #socket: WebSocket | undefined;
  #stopped = false;
  #attempt = 0;
  #retry: NodeJS.Timeout | undefined;
  #beat: NodeJS.Timeout | undefined;
  #soon: NodeJS.Timeout | undefined;
  #seq = 0;

  constructor(private readonly options: Options) {}

  start(): void {
    this.#begin();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#retry);
    clearInterval(this.#beat);
    clearTimeout(this.#soon);
    this.#socket?.terminate();
  }

  /** What can't be said yet (a full disk, a hypervisor that does not answer) is a reason to come again, and none to end. */
  #begin(): void {
    this.#connect().catch((err: unknown) => {
      this.options.log.error({ err }, 'no connection to the gateway could be begun; it is tried again');
      this.#again();
    });
  }

  async #connect(): Promise<void> {
    const hello = await this.options.hello();
    if (this.#stopped) return;
    this.options.clock(undefined);
    const socket = new WebSocket(this.options.url, {
      maxPayload: MAX_AGENT_FRAME_BYTES,
      handshakeTimeout: 5_000,
      perMessageDeflate: false,
    });
    this.#socket = socket;
    let nonce: string | undefined;
    socket.on('upgrade', ({ headers }) => (nonce = [headers[AGENT_NONCE_HEADER]].flat()[0]));
    socket.on('open', () => {
      const identity = nonce === undefined ? {} : { identity: this.options.prove(nonce) }; // a gateway of before asks for none
      socket.send(JSON.stringify({ type: 'hello', protocol: AGENT_PROTOCOL, ...hello, ...identity } satisfies FromHostAgent));
    });
    socket.on('message', (data) => this.#receive(socket, String(data as Buffer)));
    socket.on('error', (err) => this.options.log.debug({ err }, 'gateway connection'));
    socket.on('close', () => this.#closed(socket));
  }

  #closed(socket: WebSocket): void {
    if (socket !== this.#socket) return;
    if (this.options.line.open) this.options.log.warn({}, 'the gateway is gone');
    this.options.line.closed();
    this.options.lost();
    clearInterval(this.#beat);
    this.#again();
  }

  #again(): void {
    if (this.#stopped) return;
    const { minMs, maxMs } = this.options.reconnect;
    const cap = Math.min(maxMs, minMs * 2 ** Math.min(this.#attempt++, 20));
    // Half fixed, half by chance: a thousand agents that lost one gateway do not come back in one moment.
    const wait = cap / 2 + ((this.options.random ?? Math.random)() * cap) / 2;
    this.#retry = setTimeout(() => this.#begin(), wait);
  }

  #receive(socket: WebSocket, text: string): void {
    let frame: ToHostAgent;
    try {
      frame = ToHostAgent.parse(JSON.parse(text));
    } catch (err) {
      this.options.log.error({ err }, 'a frame of the gateway could not be read');
      return socket.close(1002);
    }
    switch (frame.type) {
      case 'welcome':
        this.options.clock(frame.now);
        return this.#welcome(socket, frame.protocol, frame.heartbeatMs);
      case 'refused':
        return this.options.log.error({ cause: frame.cause }, 'the gateway refused');
      case 'peer-answer':
        return this.options.line.answered(frame.id, frame.answer);
      case 'peer-request':
        return void this.#answer(frame.id, frame.fromHost, frame.request);
      case 'segment-peers':
        return this.options.segmentPeers(frame.vni, frame.version, frame.peers);
      case 'offer':
        this.options.clock(frame.now);
        return this.options.offered(frame.offer);
      default:
        return isConsoleFrame(frame) ? this.options.console(frame) : this.options.take(frame);
    }
  }

  async #answer(id: string, toHost: string, request: PeerRequest): Promise<void> {
    this.options.line.send({ type: 'peer-answer', id, toHost, answer: await this.options.answerPeer(request) });
  }

  #welcome(socket: WebSocket, protocol: number, heartbeatMs: number): void {
    this.options.line.opened(socket, protocol);
    this.#attempt = 0;
    let heard = performance.now();
    socket.on('pong', () => (heard = performance.now()));
    clearInterval(this.#beat);
    this.#beat = setInterval(() => {
      if (performance.now() - heard > 4 * heartbeatMs) return socket.terminate(); // half open: nothing comes through any more
      socket.ping();
      this.#heartbeat();
    }, heartbeatMs);
    this.options.log.info({}, 'connected to the gateway');
    this.options.welcomed();
  }

  /** One before its time, for what is new; all that is new in one moment goes together. */
  beat(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      this.#heartbeat();
    }, BEAT_WITHIN_MS).unref();
  }

  #heartbeat(): void {
    this.options.line.send({
      type: 'heartbeat',
      seq: ++this.#seq,
      at: new Date().toISOString(),
      vms: this.options.vms(),
      keeps: this.options.keeps(),
      segments: [...this.options.segments()],
      pools: [...this.options.pools()],
    });
  }
}
