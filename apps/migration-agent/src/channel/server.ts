import {
  FrameDecoder,
  GUEST_PROTOCOL,
  GUEST_WINDOW,
  GuestError,
  GuestLink,
  HostFrame,
  ToAgent,
  encodeFrame,
  guestCommands,
  isGuestCommand,
  type AgentFrame,
  type AgentIdentity,
  type FromAgent,
  type GuestCommandName,
  type GuestOutcome,
} from '@chrysalis/contracts';
import { assertAllowed, type Grant } from '../grant.ts';
import { Ledger } from './ledger.ts';

export type CommandContext = Readonly<{
  vmId: string;
  signal: AbortSignal;
  progress: (note: string) => void;
  /** Aborts every command that runs, this one too. */
  cancelAll: () => void;
}>;
/** Input and output are checked around it by the command's schemas. */
export type CommandHandler = (input: never, context: CommandContext) => Promise<Record<string, unknown>>;
export type Handlers = Readonly<Record<GuestCommandName, CommandHandler>>;

type Ports = Readonly<{
  identity: AgentIdentity;
  handlers: Handlers;
  verify: (jws: string, vmId: string) => Promise<Grant>;
  /** Takes the bytes of one frame, or drops them: what matters is said again. */
  write: (frame: Buffer) => void;
  /** The result of `shutdown` was acknowledged, or nobody listened for 500 ms. */
  ended: () => void;
  clock: { monotonicMs: () => number; epochMs: () => number };
}>;

type Session = { id: string; vmId: string; grant: Grant; link: GuestLink };
const HELLO_MS = 500;
const SHUTDOWN_MS = 500;
const reads: ReadonlySet<GuestCommandName> = new Set(['characterise', 'facts', 'verify']);
const MAX_SCRIPTS = 4;

/** The agent's end of the protocol: sessions, grants, idempotency. See guest-protocol.md. */
export class AgentServer {
  private readonly decoder = new FrameDecoder();
  private readonly ledger = new Ledger();
  private readonly running = new Map<string, { name: GuestCommandName; abort: AbortController }>();
  private session: Session | undefined;
  private opening: Promise<void> = Promise.resolve();
  private changes: Promise<unknown> = Promise.resolve();
  private helloAt = 0;
  /** When to end at the latest; set once `shutdown` was executed. */
  private closingUntil: number | undefined;
  private readonly o: Ports;

  constructor(o: Ports) {
    this.o = o;
  }

  receive(chunk: Buffer): void {
    for (const raw of this.decoder.push(chunk)) {
      const frame = HostFrame.safeParse(raw);
      if (frame.success) this.frame(frame.data);
    }
  }

  /** Call it about every 50 ms. */
  tick(): void {
    const now = this.o.clock.monotonicMs();
    if (this.session) this.session.link.tick(now);
    else if (now >= this.helloAt) {
      this.helloAt = now + HELLO_MS;
      this.send({ t: 'hello', protocol: { ...GUEST_PROTOCOL }, agent: this.o.identity });
    }
    if (this.closingUntil !== undefined && (now > this.closingUntil || !this.session?.link.waiting)) {
      this.closingUntil = undefined;
      this.o.ended();
    }
  }

  private frame(frame: HostFrame): void {
    if (frame.t === 'open') {
      // Verifying takes a moment: one `open` after the other, in the order of their coming.
      this.opening = this.opening.then(() => this.open(frame));
      return;
    }
    if (frame.session === this.session?.id) this.session.link.receive(frame, this.o.clock.monotonicMs());
  }

  private async open(frame: Extract<HostFrame, { t: 'open' }>): Promise<void> {
    try {
      const protocol = Math.min(GUEST_PROTOCOL.max, frame.protocol.max);
      if (protocol < Math.max(GUEST_PROTOCOL.min, frame.protocol.min))
        throw new GuestError('guest.protocol_unsupported', `this agent speaks ${GUEST_PROTOCOL.min} to ${GUEST_PROTOCOL.max}`);
      if (this.session?.id !== frame.session) this.session = await this.begin(frame);
      const { link } = this.session;
      this.send({ t: 'opened', session: frame.session, protocol, agent: this.o.identity, ack: link.received, at: this.o.clock.epochMs() });
      link.resume(frame.ack, this.o.clock.monotonicMs());
    } catch (e) {
      this.send({ t: 'refused', session: frame.session, cause: asError(e).toCause() });
    }
  }

  private async begin(frame: Extract<HostFrame, { t: 'open' }>): Promise<Session> {
    const grant = await this.o.verify(frame.grant, frame.vmId);
    const session = { id: frame.session, vmId: frame.vmId, grant };
    const link = new GuestLink({
      session: session.id,
      send: (f) => this.send(f),
      deliver: (body) => this.message({ ...session, link }, body),
    });
    return { ...session, link };
  }

  private message(session: Session, body: unknown): void {
    const message = ToAgent.safeParse(body);
    if (!message.success) return;
    if (message.data.type === 'cancel') return this.running.get(message.data.id)?.abort.abort();
    this.command(session, message.data);
  }

  private command(session: Session, { id, name, input }: Extract<ToAgent, { type: 'command' }>): void {
    try {
      if (!isGuestCommand(name)) throw new GuestError('guest.command_unknown', `this agent does not know ${name}`);
      assertAllowed(session.grant, name, Math.floor(this.o.clock.epochMs() / 1000));
      const parsed = guestCommands[name].input.safeParse(input);
      if (!parsed.success) throw new GuestError('guest.input_invalid', `${name}: ${parsed.error.message.slice(0, 1000)}`);
      this.begun(session, id, name, parsed.data);
    } catch (e) {
      this.answer(id, { ok: false, cause: asError(e).toCause() });
    }
  }

  private begun(session: Session, id: string, name: GuestCommandName, input: unknown): void {
    // Refusals for lack of room are not kept: the same id may come again later.
    const known = this.ledger.begin(id, name, input, () => this.assertRoom(name));
    switch (known.is) {
      case 'new':
        void this.execute(session, id, name, input);
        return;
      case 'running':
        return; // its result goes to whatever session is open then
      case 'done':
        return this.answer(id, known.outcome);
      case 'forgotten':
        throw new GuestError('guest.result_forgotten', `${id} was executed; its result is no longer kept`);
      case 'conflict':
        throw new GuestError('guest.idempotency_conflict', `${id} was another command`);
    }
  }

  private assertRoom(name: GuestCommandName): void {
    if (this.closingUntil !== undefined) throw new GuestError('guest.shutting_down', 'this agent is ending');
    const scripts = [...this.running.values()].filter((r) => r.name === 'run-script').length;
    if (this.running.size >= GUEST_WINDOW || (name === 'run-script' && scripts >= MAX_SCRIPTS))
      throw new GuestError('guest.busy', `${this.running.size} commands are running, ${scripts} of them scripts`);
  }

  private async execute(session: Session, id: string, name: GuestCommandName, input: unknown): Promise<void> {
    const abort = new AbortController();
    this.running.set(id, { name, abort });
    const context = {
      vmId: session.vmId,
      signal: abort.signal,
      progress: (note: string) => this.post({ type: 'progress', id, note: note.slice(0, 256) }),
      cancelAll: () => this.running.forEach((r) => r.abort.abort()),
    };
    const work = (): Promise<GuestOutcome> => this.outcome(name, input, context);
    const outcome = await (reads.has(name) || name === 'run-script' ? work() : this.oneByOne(work));
    this.running.delete(id);
    this.ledger.finish(id, outcome);
    this.answer(id, outcome);
    if (name === 'shutdown' && outcome.ok) this.closingUntil = this.o.clock.monotonicMs() + SHUTDOWN_MS;
  }

  private oneByOne<T>(work: () => Promise<T>): Promise<T> {
    const result = this.changes.then(work, work);
    this.changes = result.catch(() => undefined);
    return result;
  }

  private async outcome(name: GuestCommandName, input: unknown, context: CommandContext): Promise<GuestOutcome> {
    try {
      if (context.signal.aborted) throw new GuestError('guest.cancelled', `${name} was cancelled before it began`);
      const output = await this.o.handlers[name](input as never, context);
      return { ok: true, output: guestCommands[name].output.parse(output) as Record<string, unknown> };
    } catch (e) {
      return { ok: false, cause: asError(e).toCause() };
    }
  }

  private answer(id: string, outcome: GuestOutcome): void {
    this.post({ type: 'result', id, outcome });
  }

  private post(body: FromAgent): void {
    this.session?.link.post(body, this.o.clock.monotonicMs());
  }

  private send(frame: AgentFrame): void {
    try {
      this.o.write(encodeFrame(frame));
    } catch (e) {
      if (!(e instanceof RangeError)) throw e;
      this.tooLong(frame);
    }
  }

  /** A result longer than a frame: its sequence number is used, so something must be said in its place. */
  private tooLong(frame: AgentFrame): void {
    if (frame.t !== 'msg') return;
    const { id } = frame.body as FromAgent;
    const cause = { code: 'guest.failed', message: 'the result is longer than a frame may be' };
    this.o.write(encodeFrame({ ...frame, body: { type: 'result', id, outcome: { ok: false, cause } } satisfies FromAgent }));
  }
}

const asError = (e: unknown): GuestError => {
  if (e instanceof GuestError) return e;
  return new GuestError('guest.failed', e instanceof Error ? `${e.name}: ${e.message}` : String(e));
};
