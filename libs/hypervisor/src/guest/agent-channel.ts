import { randomUUID } from 'node:crypto';
import type { Duplex } from 'node:stream';
import {
  AgentFrame,
  FrameDecoder,
  FromAgent,
  GUEST_PROTOCOL,
  GUEST_WINDOW,
  GuestError,
  GuestLink,
  encodeFrame,
  guestCommands,
  type AgentIdentity,
  type GuestCommandName,
  type GuestInput,
  type GuestOutput,
  type HostFrame,
} from '@chrysalis/contracts';

export type AgentChannelOptions = Readonly<{
  /** Connects to the host's end of the port; called again after each loss. */
  connect: () => Promise<Duplex>;
  vmId: string;
  /** The grant as it was signed. */
  grant: string;
  session?: string;
}>;
export type CommandOptions = Readonly<{
  /** The control plane's task key: the guest executes an id once. */
  id: string;
  timeoutMs: number;
  signal?: AbortSignal;
  onProgress?: (note: string) => void;
}>;

type Pending = {
  readonly name: GuestCommandName;
  readonly input: Record<string, unknown>;
  readonly resolve: (output: Record<string, unknown>) => void;
  readonly reject: (error: Error) => void;
  readonly onProgress: ((note: string) => void) | undefined;
};

const TICK_MS = 50;
const SILENCE_PING_MS = 2_000;
const SILENCE_RECONNECT_MS = 8_000;
const REOPEN_MS = 1_000;
const MAX_RECONNECT_PAUSE_MS = 250;
/** What one guest may say. An honest agent needs a hundredth of it; beyond, we read slower and the guest waits. */
const MAX_BYTES_PER_WINDOW = 1_677_721; // 16 MiB/s
const WINDOW_MS = 100;
const MAX_BROKEN_PER_WINDOW = 100;

/** The host's end of the protocol; see guest-protocol.md in contracts. Nothing the guest sends is believed before it fits its schema. */
export class AgentChannel {
  private readonly decoder = new FrameDecoder();
  private readonly pending = new Map<string, Pending>();
  private readonly session: string;
  private link: GuestLink;
  private stream: Duplex | undefined;
  private opened = false;
  private identity: AgentIdentity | undefined;
  private failure: GuestError | undefined;
  private heardAt = performance.now();
  private openedAt = 0;
  private pingedAt = 0;
  private readonly window = { startedAt: 0, bytes: 0, broken: 0 };
  private readonly timer: NodeJS.Timeout;
  private readonly o: AgentChannelOptions;
  private readonly ready = Promise.withResolvers<void>();
  /** Guest clock minus host clock at the last `opened`, in milliseconds. */
  clockSkewMs = 0;

  private constructor(o: AgentChannelOptions) {
    this.o = o;
    this.session = o.session ?? randomUUID();
    this.link = this.newLink();
    this.ready.promise.catch(() => undefined);
    this.timer = setInterval(() => this.tick(), TICK_MS);
    void this.reconnect();
  }

  /**
   * Ends when the agent took the grant; rejects with its refusal, or with `guest.unreachable` at the deadline or when `signal` is aborted.
   * Who gives up waiting has to abort: the port has one client at a time, and a channel that nobody waits for would keep it.
   */
  static async open({ signal, ...o }: AgentChannelOptions & { timeoutMs: number; signal?: AbortSignal }): Promise<AgentChannel> {
    const channel = new AgentChannel(o);
    signal?.addEventListener('abort', () => channel.close(), { once: true });
    const late = setTimeout(() => {
      channel.fail(new GuestError('guest.unreachable', `no migration agent answered in ${o.timeoutMs} ms`));
    }, o.timeoutMs);
    try {
      await channel.ready.promise;
      return channel;
    } catch (e) {
      channel.close();
      throw e;
    } finally {
      clearTimeout(late);
    }
  }

  get agent(): AgentIdentity {
    if (!this.identity) throw new GuestError('guest.unreachable', 'the channel is not open');
    return this.identity;
  }
  get isClosed(): boolean {
    return this.failure !== undefined;
  }

  /** One execution for one id, however often it is asked for. Rejects with the guest's cause as a GuestError. */
  command<N extends GuestCommandName>(name: N, input: GuestInput<N>, o: CommandOptions): Promise<GuestOutput<N>> {
    if (this.failure) return Promise.reject(this.failure);
    if (this.pending.size >= GUEST_WINDOW)
      return Promise.reject(new GuestError('guest.busy', `${this.pending.size} commands wait for this guest`));
    if (this.pending.has(o.id)) return Promise.reject(new GuestError('guest.idempotency_conflict', `${o.id} is in work`));
    const settled = new Promise<Record<string, unknown>>((resolve, reject) => {
      this.pending.set(o.id, { name, input: input as Record<string, unknown>, resolve, reject, onProgress: o.onProgress });
    });
    this.link.post({ type: 'command', id: o.id, name, input }, performance.now());
    return this.within(settled, name, o);
  }

  close(): void {
    this.fail(new GuestError('guest.unreachable', 'the channel was closed from this side'));
  }

  private async within<N extends GuestCommandName>(
    settled: Promise<Record<string, unknown>>,
    name: N,
    o: CommandOptions,
  ): Promise<GuestOutput<N>> {
    const cancel = (): void => {
      this.link.post({ type: 'cancel', id: o.id }, performance.now());
    };
    const timer = setTimeout(() => {
      cancel();
      this.pending.get(o.id)?.reject(new GuestError('guest.timeout', `${name} gave no result in ${o.timeoutMs} ms`));
    }, o.timeoutMs);
    o.signal?.addEventListener('abort', cancel, { once: true });
    if (o.signal?.aborted) cancel();
    try {
      const output = guestCommands[name].output.safeParse(await settled);
      if (!output.success) throw new GuestError('guest.output_invalid', `${name}: ${output.error.message.slice(0, 1_000)}`);
      return output.data as GuestOutput<N>;
    } finally {
      clearTimeout(timer);
      o.signal?.removeEventListener('abort', cancel);
      this.pending.delete(o.id);
    }
  }

  private newLink(): GuestLink {
    return new GuestLink({
      session: this.session,
      send: (frame) => this.opened && this.write(frame),
      deliver: (body) => this.deliver(body),
    });
  }

  private async reconnect(): Promise<void> {
    for (let pause = 5; !this.failure; pause = Math.min(pause * 2, MAX_RECONNECT_PAUSE_MS)) {
      const stream = await this.o.connect().catch(() => undefined);
      if (stream && !this.failure) return this.use(stream);
      stream?.destroy();
      await new Promise((r) => setTimeout(r, pause));
    }
  }

  private use(stream: Duplex): void {
    this.stream = stream;
    this.opened = false;
    this.heardAt = performance.now();
    this.decoder.reset();
    stream.on('data', (chunk: Buffer) => this.receive(stream, chunk));
    stream.on('error', () => undefined);
    stream.on('close', () => {
      if (this.stream !== stream) return;
      this.stream = undefined;
      this.opened = false;
      void this.reconnect();
    });
    this.sayOpen();
  }

  private sayOpen(): void {
    this.openedAt = performance.now();
    const { vmId, grant } = this.o;
    this.write({ t: 'open', session: this.session, protocol: { ...GUEST_PROTOCOL }, vmId, grant, ack: this.link.received, at: Date.now() });
  }

  private write(frame: HostFrame): void {
    // A guest that does not read must not fill our memory: what is dropped here is said again.
    if (this.stream && !this.stream.destroyed && this.stream.writableLength < 1 << 20) this.stream.write(encodeFrame(frame));
  }

  private receive(stream: Duplex, chunk: Buffer): void {
    if (this.stream !== stream) return;
    this.rollWindow();
    const broken = this.decoder.damaged;
    for (const raw of this.decoder.push(chunk)) {
      const frame = AgentFrame.safeParse(raw);
      if (frame.success) this.frame(frame.data);
      else this.window.broken++;
    }
    this.window.broken += this.decoder.damaged - broken;
    this.window.bytes += chunk.length;
    this.throttle(stream);
  }

  /** Before the counting, so that a chunk that comes after a silence counts as well. */
  private rollWindow(): void {
    const now = performance.now();
    if (now - this.window.startedAt > WINDOW_MS) Object.assign(this.window, { startedAt: now, bytes: 0, broken: 0 });
  }

  private throttle(stream: Duplex): void {
    if (this.window.broken > MAX_BROKEN_PER_WINDOW)
      return this.fail(
        new GuestError('guest.protocol_violation', `${this.window.broken} frames in ${WINDOW_MS} ms were not frames of the protocol`),
      );
    if (this.window.bytes < MAX_BYTES_PER_WINDOW) return;
    stream.pause();
    setTimeout(() => stream.resume(), WINDOW_MS);
  }

  private frame(frame: AgentFrame): void {
    this.heardAt = performance.now();
    switch (frame.t) {
      case 'hello':
        if (!this.opened) this.sayOpen();
        return;
      case 'opened':
        if (frame.session === this.session) this.onOpened(frame);
        return;
      case 'refused':
        if (frame.session === this.session) this.fail(GuestError.from(frame.cause));
        return;
      case 'msg':
      case 'ack':
      case 'ping':
        if (this.opened) this.link.receive(frame, performance.now());
        return;
    }
  }

  private onOpened(frame: Extract<AgentFrame, { t: 'opened' }>): void {
    if (this.opened) return;
    this.clockSkewMs = frame.at - Date.now();
    const another = this.identity !== undefined && this.identity.instance !== frame.agent.instance;
    this.identity = frame.agent;
    this.opened = true;
    if (another) this.startOver();
    else this.link.resume(frame.ack, performance.now());
    this.ready.resolve();
  }

  /** Another agent process answers and knows nothing: what aims at a state is said again, the rest may have run already. */
  private startOver(): void {
    this.link = this.newLink();
    for (const [id, { name, input, reject }] of this.pending) {
      if (guestCommands[name].repeatable) this.link.post({ type: 'command', id, name, input }, performance.now());
      else reject(new GuestError('guest.agent_restarted', `another agent process answers; whether ${name} was executed is not known`));
    }
  }

  private deliver(body: unknown): void {
    const message = FromAgent.safeParse(body);
    if (!message.success) {
      this.window.broken++;
      return;
    }
    const pending = this.pending.get(message.data.id);
    if (!pending) return; // it came after its deadline
    if (message.data.type === 'progress') return pending.onProgress?.(message.data.note);
    const { outcome } = message.data;
    if (outcome.ok) pending.resolve(outcome.output);
    else pending.reject(GuestError.from(outcome.cause));
  }

  private tick(): void {
    const now = performance.now();
    if (!this.stream) return;
    if (!this.opened) {
      if (now - this.openedAt > REOPEN_MS) this.sayOpen();
      return;
    }
    this.link.tick(now);
    const silence = now - this.heardAt;
    if (silence > SILENCE_RECONNECT_MS) this.stream.destroy();
    else if (silence > SILENCE_PING_MS && now - this.pingedAt > SILENCE_PING_MS) this.ping(now);
  }

  private ping(now: number): void {
    this.pingedAt = now;
    this.write({ t: 'ping', session: this.session, ack: this.link.received });
  }

  private fail(error: GuestError): void {
    if (this.failure) return;
    this.failure = error;
    clearInterval(this.timer);
    this.stream?.destroy();
    this.ready.reject(error);
    for (const { reject } of this.pending.values()) reject(error);
  }
}
