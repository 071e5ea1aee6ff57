import { randomUUID } from 'node:crypto';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { MoveRequest, PeerAnswer, type PeerRequest } from '@chrysalis/contracts';
import { z } from 'zod';

/** NDJSON: a line of at most this many bytes each way. The longest has the log of a console, 64 KiB in base64. */
const MAX_LINE = 98_304;
const MAX_CONNECTIONS = 256;
const Asked = z.object({ id: z.string().max(64), request: MoveRequest });
const Answered = z.object({ id: z.string().max(64), answer: PeerAnswer });

/** Takes requests of other hosts' agents. What is malformed or too long ends the connection; nothing else happens. */
export const listenForPeers = async (
  at: { host: string; port: number },
  answer: (request: MoveRequest) => Promise<PeerAnswer>,
): Promise<{ address: string; close: () => Promise<void> }> => {
  const open = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket)).on('error', () => socket.destroy());
    eachLine(socket, async (line) => {
      const { id, request } = Asked.parse(JSON.parse(line));
      socket.write(`${JSON.stringify({ id, answer: await answer(request) })}\n`);
    });
  });
  server.maxConnections = MAX_CONNECTIONS;
  await listening(server, at);
  const { port } = server.address() as { port: number };
  const close = (): Promise<void> => {
    for (const socket of open) socket.destroy();
    return new Promise((done) => server.close(() => done()));
  };
  return { address: `${at.host}:${port}`, close };
};

const listening = (server: Server, { host, port }: { host: string; port: number }): Promise<void> =>
  new Promise((done, fail) => {
    server.once('error', fail);
    server.listen(port, host, () => done());
  });

/** Calls `take` for each line; one that is too long, or that `take` rejects, ends the connection. */
const eachLine = (socket: Socket, take: (line: string) => Promise<void>): void => {
  let rest = '';
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop()!;
    if (rest.length > MAX_LINE || lines.some((line) => line.length > MAX_LINE)) return void socket.destroy();
    for (const line of lines) take(line).catch(() => socket.destroy());
  });
};

/** Asks other hosts' agents; one connection an address, kept open, so that the receipt does not wait for a handshake. */
export class PeerLinks {
  readonly #links = new Map<string, PeerLink>();

  ask(address: string, request: PeerRequest, timeoutMs: number): Promise<PeerAnswer> {
    const link = this.#links.get(address) ?? new PeerLink(address, () => this.#links.delete(address));
    this.#links.set(address, link);
    return link.ask(request, timeoutMs);
  }

  close(): void {
    for (const link of this.#links.values()) link.close();
  }
}

class PeerLink {
  readonly #socket: Socket;
  readonly #waiting = new Map<string, { done: (answer: PeerAnswer) => void; fail: (error: Error) => void }>();

  constructor(address: string, closed: () => void) {
    const colon = address.lastIndexOf(':');
    this.#socket = connect({ host: address.slice(0, colon), port: Number(address.slice(colon + 1)), noDelay: true });
    let why = new Error('the peer closed the connection');
    this.#socket.on('error', (error) => (why = error));
    this.#socket.on('close', () => {
      closed();
      for (const { fail } of this.#waiting.values()) fail(why);
    });
    eachLine(this.#socket, async (line) => {
      const { id, answer } = Answered.parse(JSON.parse(line));
      this.#waiting.get(id)?.done(answer);
    });
  }

  ask(request: PeerRequest, timeoutMs: number): Promise<PeerAnswer> {
    const id = randomUUID();
    return new Promise<PeerAnswer>((done, fail) => {
      const late = (): void => {
        fail(new Error(`no answer in ${timeoutMs} ms`));
        this.#socket.destroy(); // a link that swallows is made anew
      };
      const timer = setTimeout(late, timeoutMs);
      const end = (): void => (clearTimeout(timer), void this.#waiting.delete(id));
      this.#waiting.set(id, { done: (answer) => (end(), done(answer)), fail: (error) => (end(), fail(error)) });
      this.#socket.write(`${JSON.stringify({ id, request })}\n`);
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}
