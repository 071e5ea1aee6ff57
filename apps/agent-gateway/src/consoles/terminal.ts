import { CONSOLE_TAIL, CONSOLE_TYPED_WINDOW, type Code, type ConsoleWord } from '@chrysalis/contracts';
import { allows, judgeQuery, ProblemError, type Caller, type SocketRoute, type Upgrade } from '@chrysalis/service-kit';
import type { WebSocket } from 'ws';
import { z } from 'zod';
import type { Consoles, Place, Session } from './consoles.ts';

export const CONSOLE_PATH = '/v1/vms/:id/console';
const flag = z.enum(['true', 'false']);
export const consoleQuery = {
  write: flag.describe('`true`: to type as well, which one at a time may, with the role `console`'),
  force: flag.describe('`true`: in the place of whoever types now, who is told, and reads on'),
  tail: z
    .string()
    .refine((t) => /^\d{1,5}$/.test(t) && Number(t) <= CONSOLE_TAIL, `bytes, at most ${CONSOLE_TAIL}`)
    .describe(`how much of what was written before comes first, in bytes, ${CONSOLE_TAIL} at most`),
} as const;

/** Of the route by which it is asked for without an upgrade as well. */
export const mayWrite = (caller: Caller): void => {
  if (allows(caller, 'console')) return;
  throw ProblemError.of({
    code: 'auth.denied',
    message: 'To type on a console needs the role console',
    needs: 'console',
    has: caller.roles,
  });
};

/** A VM's serial console as a WebSocket: the guest's bytes are binary messages, each way; what is said about them is JSON, as text. */
export const terminal = (consoles: Consoles): SocketRoute => ({
  path: CONSOLE_PATH,
  needed: 'operator',
  pattern: /^\/v1\/vms\/([A-Za-z0-9_.:@-]{1,127})\/console$/,
  accept: async ({ caller, id, query }) => {
    judgeQuery(consoleQuery, query);
    const write = query['write'] === 'true';
    if (write) mayWrite(caller);
    const place = await consoles.placeOf(id, caller);
    const asked = { what: 'terminal', write, force: query['force'] === 'true', tail: Number(query['tail'] ?? 0) } as const;
    return (socket) => void new Terminal(consoles, place, asked, caller, socket);
  },
});

type Asked = { readonly what: 'terminal'; readonly write: boolean; readonly force: boolean; readonly tail: number };

/** Between a client's socket and a session. Neither end has more on its way here than a window: who is slow is waited for. */
class Terminal {
  readonly #session: Session | undefined;
  /** Came from the client and was not sent on; and sent on and not taken yet. */
  #typed: Buffer[] = [];
  #onItsWay = 0;
  #ended = false;

  constructor(
    consoles: Consoles,
    { vmId, hostId, tenant }: Place,
    asked: Asked,
    caller: Upgrade['caller'],
    private readonly socket: WebSocket,
  ) {
    try {
      this.#session = consoles.open({ vmId, hostId, tenant }, asked, caller, {
        opened: (writer) => this.#say({ type: 'opened', session: this.#session!.id, hostId, writer }),
        output: (bytes, skipped) => this.#output(bytes, skipped),
        took: (bytes) => {
          this.#onItsWay -= bytes;
          this.#pump();
        },
        reads: (by) => this.#say({ type: 'reads', by }),
        notice: ({ code, message }) => this.#say({ type: 'notice', code, message }),
        closed: (cause) => this.#end(cause?.code ?? 'console.over', cause?.message ?? 'it ended'),
      });
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      this.#end(error.problem.code, error.problem.detail ?? error.problem.title);
      return;
    }
    this.#untilTokenIsOver(caller.expiresAt ?? Infinity);
    socket.on('message', (data, binary) => this.#heard(data as Buffer, binary));
    socket.on('close', () => this.#leave('console.left', 'the client closed it'));
  }

  #untilTokenIsOver(expiresAt: number): void {
    // Longer than a timer can wait is longer than any token lives.
    const left = Math.min(Math.max(0, expiresAt - Date.now()), 2 ** 31 - 1);
    const over = setTimeout(() => this.#leave('console.token_over', 'the token that it was opened with has expired'), left);
    this.socket.on('close', () => clearTimeout(over));
  }

  #output(bytes: Buffer, skipped: number): void {
    if (skipped > 0) this.#say({ type: 'skipped', bytes: skipped });
    // Credit only for what the client's connection took: its slowness goes back to the host, which lets go of the oldest.
    this.socket.send(bytes, { binary: true }, (error) => {
      if (!error && !this.#ended) this.#session?.passed(bytes.length);
    });
  }

  #heard(data: Buffer, binary: boolean): void {
    if (!binary || data.length === 0) return; // nothing is said by text yet, and what a newer client says is passed over
    this.#typed.push(data);
    this.#pump();
  }

  #pump(): void {
    while (this.#typed.length > 0 && this.#onItsWay < CONSOLE_TYPED_WINDOW) {
      const [first, ...rest] = this.#typed as [Buffer, ...Buffer[]];
      const room = CONSOLE_TYPED_WINDOW - this.#onItsWay;
      this.#typed = first.length > room ? [first.subarray(room), ...rest] : rest;
      const piece = first.subarray(0, room);
      this.#onItsWay += piece.length;
      this.#session?.type(piece);
    }
    if (this.#typed.length > 0) this.socket.pause();
    else if (this.socket.isPaused) this.socket.resume();
  }

  #say(word: ConsoleWord): void {
    this.socket.send(JSON.stringify(word));
  }

  #leave(code: Code, message: string): void {
    this.#session?.close(code, message);
  }

  #end(code: string, message: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#say({ type: 'closed', code, message });
    if (this.socket.isPaused) this.socket.resume(); // or its close is never read
    this.socket.close(1000, code.slice(0, 120));
  }
}
