import { createConnection, type Socket } from 'node:net';
import { StringDecoder } from 'node:string_decoder';
import { setTimeout as sleep } from 'node:timers/promises';
import { HypervisorError } from './errors.ts';

/** `atUs`: QEMU's own clock at the event, microseconds since 1970. Downtime is the difference of two of these. */
export type QmpEvent = { readonly event: string; readonly data: Readonly<Record<string, unknown>>; readonly atUs: number };
export type QmpGreeting = { readonly qemu: string; readonly package: string };

/** A wait that is armed before the command whose effect it waits for. */
export type Waiting<T> = { readonly promise: Promise<T>; cancel(): void };

/** `query-cpu-definitions` is the largest answer we ask for: 120 kB. */
const MAX_LINE = 8 * 1024 * 1024;
const DEFAULT_TIMEOUT_MS = 10_000;

type Pending = {
  readonly command: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
};

/** QEMU's machine protocol over a unix socket: answers are matched by id, events go to listeners in order of arrival. */
export class QmpClient {
  private readonly pending = new Map<number, Pending>();
  private readonly listeners = new Set<(event: QmpEvent) => void>();
  private readonly decoder = new StringDecoder('utf8');
  private buffer = '';
  private nextId = 1;
  private failure: HypervisorError | undefined;
  private readonly gone = Promise.withResolvers<void>();
  private readonly socket: Socket;
  greeting: QmpGreeting = { qemu: '', package: '' };
  private greeted: ((g: QmpGreeting) => void) | undefined;
  /** Settles when the connection is gone, for whatever reason. */
  readonly closed = this.gone.promise;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => this.receive(this.decoder.write(chunk)));
    socket.on('error', () => undefined);
    socket.on('close', () => this.fail(new HypervisorError('hypervisor.qmp_closed', 'QEMU closed its monitor')));
  }

  /** Connects, trying again while the socket is not there yet, reads the greeting and leaves negotiation mode. */
  static async connect(
    path: string,
    { timeoutMs = 10_000, alive = (): boolean => true }: { timeoutMs?: number; alive?: () => boolean } = {},
  ): Promise<QmpClient> {
    const until = performance.now() + timeoutMs;
    for (;;) {
      const client = await QmpClient.open(path).catch((error: NodeJS.ErrnoException) => error);
      if (client instanceof QmpClient) return client.negotiate(Math.max(1, until - performance.now()));
      const retry = client.code === 'ENOENT' || client.code === 'ECONNREFUSED' || client.code === 'EAGAIN';
      if (!retry || !alive() || performance.now() > until)
        throw new HypervisorError('hypervisor.qmp_closed', `No monitor at ${path}: ${client.message}`);
      await sleep(4);
    }
  }

  private static open(path: string): Promise<QmpClient> {
    return new Promise((resolve, reject) => {
      const socket = createConnection(path);
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new QmpClient(socket));
      });
    });
  }

  private async negotiate(timeoutMs: number): Promise<QmpClient> {
    const greeting = new Promise<QmpGreeting>((resolve) => (this.greeted = resolve));
    const late = sleep(timeoutMs, undefined, { ref: false }).then(() => undefined);
    const got = await Promise.race([greeting, this.closed.then(() => undefined), late]);
    if (!got) {
      const silent = new HypervisorError('hypervisor.qmp_timeout', 'QEMU did not greet: is another client on this monitor?');
      const failure = this.failure ?? silent;
      this.close();
      throw failure;
    }
    this.greeting = got;
    // `oob`: what is carried out beside QEMU's main loop, which a guest can hold up whose memory is not all there.
    await this.execute('qmp_capabilities', { enable: ['oob'] }, timeoutMs);
    return this;
  }

  get isClosed(): boolean {
    return this.failure !== undefined;
  }

  /** `beside`: without a turn, before commands that wait; few commands let themselves be carried out so. */
  execute<T = unknown>(command: string, args: Record<string, unknown> = {}, timeoutMs = DEFAULT_TIMEOUT_MS, beside = false): Promise<T> {
    if (this.failure) return Promise.reject(this.failure);
    const id = this.nextId++;
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.pending.delete(id);
        reject(new HypervisorError('hypervisor.qmp_timeout', `QEMU did not answer ${command} in ${timeoutMs} ms`, { command }));
      }, timeoutMs);
      this.pending.set(id, { command, resolve: resolve as (value: unknown) => void, reject, timer });
      this.socket.write(`${JSON.stringify({ [beside ? 'exec-oob' : 'execute']: command, arguments: args, id })}\n`);
    });
  }

  on(listener: (event: QmpEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Armed at once: call it before the command. Rejects with `qmp_timeout` at the deadline, `qmp_closed` when QEMU goes. */
  waitFor(names: string | readonly string[], predicate: (event: QmpEvent) => boolean, deadlineMs: number): Waiting<QmpEvent> {
    const wanted = new Set(typeof names === 'string' ? [names] : names);
    const { promise, resolve, reject } = Promise.withResolvers<QmpEvent>();
    const timer = setTimeout(() => {
      cancel();
      reject(new HypervisorError('hypervisor.qmp_timeout', `No ${[...wanted].join(' or ')} in ${deadlineMs} ms`));
    }, deadlineMs);
    const off = this.on((event) => {
      if (!wanted.has(event.event) || !predicate(event)) return;
      cancel();
      resolve(event);
    });
    const cancel = (): void => {
      clearTimeout(timer);
      off();
    };
    void this.closed.then(() => {
      cancel();
      reject(this.failure!);
    });
    // A wait that nobody awaits any more must not end the process.
    promise.catch(() => undefined);
    return { promise, cancel };
  }

  close(): void {
    this.fail(new HypervisorError('hypervisor.qmp_closed', 'The monitor was closed from this side'));
    this.socket.destroy();
  }

  private receive(text: string): void {
    this.buffer += text;
    for (let end = this.buffer.indexOf('\n'); end >= 0; end = this.buffer.indexOf('\n')) {
      const line = this.buffer.slice(0, end).trim();
      this.buffer = this.buffer.slice(end + 1);
      if (line) this.message(line);
    }
    if (this.buffer.length > MAX_LINE) this.protocolError('a message without end');
  }

  private message(line: string): void {
    let message: Record<string, unknown>;
    try {
      message = JSON.parse(line) as Record<string, unknown>;
    } catch {
      return this.protocolError('a message that is not JSON');
    }
    if (typeof message['event'] === 'string') return this.event(message);
    if ('QMP' in message) return this.greet(message['QMP']);
    this.answer(message);
  }

  private event(message: Record<string, unknown>): void {
    const time = message['timestamp'] as { seconds?: number; microseconds?: number } | undefined;
    const event: QmpEvent = {
      event: message['event'] as string,
      data: (message['data'] as Record<string, unknown> | undefined) ?? {},
      atUs: (time?.seconds ?? 0) * 1_000_000 + (time?.microseconds ?? 0),
    };
    for (const listener of [...this.listeners]) listener(event);
  }

  private greet(value: unknown): void {
    const version = (value as { version?: { qemu?: Record<string, number>; package?: string } }).version;
    const q = version?.qemu ?? {};
    this.greeted?.({ qemu: `${q['major']}.${q['minor']}.${q['micro']}`, package: version?.package ?? '' });
  }

  private answer(message: Record<string, unknown>): void {
    const pending = this.pending.get(message['id'] as number);
    // An answer that came after its deadline.
    if (!pending) return;
    this.pending.delete(message['id'] as number);
    clearTimeout(pending.timer);
    const error = message['error'] as { class?: string; desc?: string } | undefined;
    if (!error) return pending.resolve(message['return']);
    const detail = { command: pending.command, class: error.class, desc: error.desc };
    pending.reject(new HypervisorError('hypervisor.qmp_refused', `${pending.command}: ${error.desc ?? 'refused'}`, detail));
  }

  private protocolError(what: string): void {
    this.fail(new HypervisorError('hypervisor.qmp_protocol', `QEMU's monitor sent ${what}`));
    this.socket.destroy();
  }

  private fail(error: HypervisorError): void {
    if (this.failure) return;
    this.failure = error;
    for (const p of this.pending.values()) {
      clearTimeout(p.timer);
      p.reject(error);
    }
    this.pending.clear();
    this.gone.resolve();
  }
}
