import {
  CONSOLE_PIECE,
  CONSOLE_TYPED_WINDOW,
  CONSOLE_WINDOW,
  type Cause,
  type Code,
  type ConsoleFromAgent,
  type ConsoleToAgent,
} from '@chrysalis/contracts';
import type { ConsoleLog, HypervisorDriver } from '@chrysalis/hypervisor';
import type { VmStates } from '../durable/vm-states.ts';
import { causeOf } from '../execution/cause.ts';
import { PictureLog } from './picture.ts';

type Open = Extract<ConsoleToAgent, { type: 'console-open' }>;
type Session = {
  readonly id: string;
  readonly vmId: string;
  readonly by: string;
  readonly log: ConsoleLog;
  /** Where it is in the log, and, of what ends by itself, where it ends. */
  at: number;
  readonly until: number | undefined;
  /** So much may still be sent. */
  credit: number;
  writer: boolean;
  typed: number;
  typing: Promise<void>;
  due: NodeJS.Timeout | undefined;
  stop: () => void;
};
type Deps = {
  readonly driver: Pick<HypervisorDriver, 'consoleOf' | 'screen'>;
  readonly states: Pick<VmStates, 'get'>;
  readonly send: (frame: ConsoleFromAgent) => void;
};

const AT_MOST = 256;
/** A guest writes its bytes one by one: those of so long go together. */
const TOGETHER_MS = 8;

/**
 * The consoles of this host's VMs that are open over the gateway. A reader has a place in the log and a credit of bytes, so that none
 * holds up the guest, another reader, or this process' memory: one that is slow misses what the log has let go of, and is told how much.
 */
export class ConsoleDesk {
  readonly #sessions = new Map<string, Session>();

  constructor(private readonly deps: Deps) {}

  take(frame: ConsoleToAgent): void {
    const session = this.#sessions.get(frame.session);
    switch (frame.type) {
      case 'console-open':
        if (!session) this.#open(frame).catch((error: unknown) => this.#refuse(frame.session, causeOf(error)));
        return;
      case 'console-typed':
        return session && this.#typed(session, Buffer.from(frame.data, 'base64'));
      case 'console-passed':
        if (!session) return;
        session.credit = Math.min(CONSOLE_WINDOW, session.credit + frame.bytes);
        return this.#pump(session);
      case 'console-close':
        return session && this.#forget(session);
    }
  }

  /** The gateway is gone, and whoever came through it. */
  lost(): void {
    for (const session of this.#sessions.values()) this.#forget(session);
  }

  /** The guest runs on another host from now on. What it wrote here goes out before the word of that. */
  moved(vmId: string, toHost: string): void {
    this.#endAll(vmId, { code: 'console.moved', message: `${vmId} runs on ${toHost} now` });
  }

  async #open({ session: id, vmId, what, write, force, by, tail }: Open): Promise<void> {
    if (this.deps.states.get(vmId)?.role !== 'runner') return this.#refused(id, 'console.not_here', `this host does not run ${vmId}`);
    if (this.#sessions.size >= AT_MOST) return this.#refused(id, 'console.too_many', `${AT_MOST} are open on this host`);
    const log = what === 'screen' ? new PictureLog(await this.deps.driver.screen(vmId)) : this.deps.driver.consoleOf(vmId);
    const writer = write ? this.#writerOf(vmId) : undefined;
    if (writer && !force) return this.#refused(id, 'console.has_writer', `${writer.by} types on the console of ${vmId}`);
    const session: Session = {
      ...{ id, vmId, by, log, writer: write, credit: CONSOLE_WINDOW, typed: 0, typing: Promise.resolve(), due: undefined },
      at: what === 'screen' ? log.start : Math.max(log.start, log.end - tail),
      until: what === 'terminal' ? undefined : log.end,
      stop: log.listen((over) => (over ? this.#gone(session) : this.#soon(session))),
    };
    this.#sessions.set(id, session);
    if (writer) {
      writer.writer = false;
      this.deps.send({ type: 'console-reads', session: writer.id, by });
    }
    this.deps.send({ type: 'console-opened', session: id, writer: write, ...(writer ? { tookFrom: writer.id } : {}) });
    this.#pump(session);
  }

  #writerOf(vmId: string): Session | undefined {
    return this.#of(vmId).find((s) => s.writer);
  }
  #of(vmId: string): Session[] {
    return [...this.#sessions.values()].filter((s) => s.vmId === vmId);
  }

  #soon(session: Session): void {
    session.due ??= setTimeout(() => {
      session.due = undefined;
      this.#pump(session);
    }, TOGETHER_MS);
  }

  #pump(session: Session): void {
    while (session.credit > 0 && session.at < (session.until ?? session.log.end)) this.#sendPiece(session);
    if (session.until === undefined || session.at < session.until || !this.#sessions.has(session.id)) return;
    this.#forget(session);
    this.deps.send({ type: 'console-closed', session: session.id });
  }

  #sendPiece(session: Session): void {
    const { id, log, at, until = Infinity } = session;
    const { from, bytes } = log.read(at, Math.min(session.credit, CONSOLE_PIECE, until - at));
    session.credit -= bytes.length;
    session.at = from + bytes.length;
    const skipped = from > at ? { skipped: from - at } : {};
    this.deps.send({ type: 'console-output', session: id, data: bytes.toString('base64'), ...skipped });
  }

  /** One piece after another, and none of a session that has lost its place to another meanwhile. */
  #typed(session: Session, bytes: Buffer): void {
    const took = (): void => {
      session.typed -= bytes.length;
      if (bytes.length > 0 && this.#sessions.has(session.id))
        this.deps.send({ type: 'console-took', session: session.id, bytes: bytes.length });
    };
    session.typed += bytes.length;
    if (session.typed > CONSOLE_TYPED_WINDOW) {
      this.#forget(session);
      return this.#refused(session.id, 'console.flooding', `${session.typed} bytes wait for the guest`);
    }
    session.typing = session.typing
      .then(() => (session.writer ? this.deps.driver.consoleOf(session.vmId).type(bytes) : undefined))
      .catch((error: unknown) => this.deps.send({ type: 'console-notice', session: session.id, cause: causeOf(error) }))
      .then(took);
  }

  #gone({ vmId }: Session): void {
    this.#endAll(vmId, { code: 'console.over', message: `${vmId} is no more on this host` });
  }

  #endAll(vmId: string, cause: Cause): void {
    for (const session of this.#of(vmId)) {
      this.#pump(session);
      if (!this.#sessions.has(session.id)) continue;
      this.#forget(session);
      this.#refuse(session.id, cause);
    }
  }

  #forget(session: Session): void {
    clearTimeout(session.due);
    session.stop();
    session.writer = false;
    this.#sessions.delete(session.id);
  }

  #refused(session: string, code: Code, message: string): void {
    this.#refuse(session, { code, message });
  }
  #refuse(session: string, cause: Cause): void {
    this.deps.send({ type: 'console-closed', session, cause });
  }
}
