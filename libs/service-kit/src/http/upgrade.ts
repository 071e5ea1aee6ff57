import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import { denial, type Guarded } from '../access/auth.ts';
import { verifyToken, type Caller } from '../access/tokens.ts';
import type { ServiceContext } from '../context.ts';
import { problemFor, problemHeaders, problemOf, type Problem } from './problems.ts';
import { rawProblem } from './unroutable.ts';

export type Upgrade = {
  readonly caller: Caller;
  readonly token: string;
  /** The path's part that the route's group names. */
  readonly id: string;
  readonly query: Readonly<Record<string, string | string[]>>;
  /** As it came, with its query. */
  readonly url: string;
};
export type SocketRoute = Omit<Guarded, 'method'> & {
  /** As `path`, with a group where its parameter is. */
  readonly pattern: RegExp;
  /** Judges before the upgrade: what it throws is answered as a problem, as by any route. */
  readonly accept: (asked: Upgrade) => Promise<(socket: WebSocket) => void>;
};

/** What a client may say at once; a terminal's lines are far below it. */
const MAX_MESSAGE = 16_384;
const AT_MOST = 1_024;
const BEAT_MS = 15_000;

/**
 * One route that is a WebSocket, with the guard of every other: token, role and whose it is are judged before the upgrade. `take` answers
 * whether the upgrade was its own. A client that is away, or that takes nothing, answers no ping, and is cut off after the second.
 */
export const socketRoute = (
  { config, log }: Pick<ServiceContext, 'config' | 'log'>,
  { path, needed, pattern, accept }: SocketRoute,
): { take: (request: IncomingMessage, socket: Duplex, head: Buffer) => boolean; close: () => void } => {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE, perMessageDeflate: false });
  const judged = async (request: IncomingMessage, id: string): Promise<(socket: WebSocket) => void> => {
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    const caller = token === undefined ? undefined : await verifyToken(config.tokenKey, token);
    if (token === undefined || !caller) throw Refused.by(problemOf({ code: 'auth.required', message: 'No token came, or none that is valid here' })); // prettier-ignore
    const refusal = needed === 'public' ? undefined : denial({ method: 'GET', path, needed }, needed, caller);
    if (refusal) throw Refused.by(refusal);
    if (sockets.clients.size >= AT_MOST) throw Refused.by(problemOf({ code: 'console.too_many', message: `${AT_MOST} are open here` }));
    const url = request.url!;
    return accept({ caller, token, id, url, query: queryOf(url) });
  };
  return {
    take: (request, socket, head) => {
      const id = pattern.exec(request.url?.split('?')[0] ?? '')?.[1];
      if (id === undefined) return false;
      socket.on('error', () => socket.destroy());
      judged(request, id).then(
        (begin) => sockets.handleUpgrade(request, socket, head, (ws) => (beats(ws), begin(ws))),
        (error: unknown) => {
          const problem = error instanceof Refused ? error.problem : problemFor(error);
          if (problem.status >= 500) log.error({ err: error, url: request.url }, 'an upgrade failed');
          socket.end(rawProblem(problem, Object.entries(problemHeaders(problem)).map(([k, v]) => `${k}: ${v}`))); // prettier-ignore
        },
      );
      return true;
    },
    close: () => {
      for (const client of sockets.clients) client.terminate();
      sockets.close();
    },
  };
};

/** Of a service that has no other upgrades: whatever is not this route's has no route. */
export const onlySocketRoute = (server: Server, route: ReturnType<typeof socketRoute>): void => {
  server.on('upgrade', (request, socket: Duplex, head) => {
    if (route.take(request, socket, head)) return;
    socket.on('error', () => socket.destroy());
    socket.end(rawProblem(problemOf({ code: 'route.unknown', message: 'Nothing here is upgraded' })));
  });
};

class Refused extends Error {
  private constructor(readonly problem: Problem) {
    super(problem.code);
  }
  static by(problem: Problem): Refused {
    return new Refused(problem);
  }
}

const queryOf = (url: string): Upgrade['query'] => {
  const given = new URLSearchParams(url.split('?')[1] ?? '');
  return Object.fromEntries(
    [...new Set(given.keys())].map((k) => [k, given.getAll(k).length > 1 ? given.getAll(k) : (given.get(k) ?? '')]),
  );
};

const beats = (socket: WebSocket): void => {
  let unanswered = 0;
  socket.on('pong', () => (unanswered = 0));
  socket.on('error', () => undefined); // `close` follows
  const beat = setInterval(() => {
    if (++unanswered > 2) return socket.terminate();
    socket.ping();
  }, BEAT_MS);
  socket.on('close', () => clearInterval(beat));
};

/** Passes messages on as they come, and reads no more while the other end does not take them. */
export const passOn = (from: WebSocket, to: WebSocket): void => {
  from.on('message', (data, binary) => {
    to.send(data, { binary }, () => to.bufferedAmount < LOW && from.isPaused && from.resume());
    if (to.bufferedAmount > HIGH) from.pause();
  });
  from.on('close', (code, reason) => {
    // 1005 and above to 1015 may not be sent: they say that nothing was said.
    to.close(code === 1000 || code === 1001 || code === 1008 || code === 1011 ? code : 1011, reason);
    setTimeout(() => to.terminate(), CLOSE_MS).unref();
  });
};
const HIGH = 131_072;
const LOW = 32_768;
const CLOSE_MS = 2_000;
