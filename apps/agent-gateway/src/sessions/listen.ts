import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { AGENT_NONCE_HEADER } from '@chrysalis/contracts';
import { problemDocument, problemOf, rawProblem, type Problem } from '@chrysalis/service-kit';
import type { Logger } from 'pino';
import { WebSocketServer } from 'ws';
import { Connection, type ConnectionHandlers } from './connection.ts';

const PATH = '/v1/agents';
/** A frame up to this size is read whole so that it can be answered; above it the connection is cut. */
const MAX_PAYLOAD = 4 * 1_048_576;
/** Connections that have not said hello yet. A storm beyond it is turned away before it costs anything, and comes back by its backoff. */
const MAX_GREETING = 256;

export type AgentListener = {
  /** `first` may take an upgrade that is not an agent's. */
  readonly attach: (server: Server, first: (request: IncomingMessage, socket: Duplex, head: Buffer) => boolean) => void;
  readonly listen: (address: string) => Promise<string>;
  close(): Promise<void>;
};

/** `GET /v1/agents` as a WebSocket, on any HTTP server given, and on an address of its own, where agents also fetch images (`files`). */
export const agentListener = (
  handlers: ConnectionHandlers,
  log: Logger,
  files: (request: IncomingMessage, response: ServerResponse) => boolean,
): AgentListener => {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_PAYLOAD, perMessageDeflate: false, clientTracking: true });
  const nonces = new WeakMap<IncomingMessage, string>();
  sockets.on('headers', (headers, request) => headers.push(`${AGENT_NONCE_HEADER}: ${nonces.get(request)!}`));
  const own: Server[] = [];
  let greeting = 0;
  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    socket.on('error', () => socket.destroy());
    // Compared as text: `new URL` throws on what anyone may send, and nobody catches what an event's listener throws.
    if (request.url?.split('?')[0] !== PATH) return turnAway(socket, notHere);
    if (greeting >= MAX_GREETING) return turnAway(socket, tooMany);
    greeting++;
    let greeted = false;
    const ended = (): void => {
      if (!greeted) greeting--;
      greeted = true;
    };
    socket.once('close', ended);
    const nonce = randomBytes(24).toString('base64url');
    nonces.set(request, nonce);
    const address = request.socket.remoteAddress ?? 'unknown';
    sockets.handleUpgrade(request, socket, head, (ws) => {
      const hello: ConnectionHandlers['hello'] = (connection, frame) => handlers.hello(connection, frame).finally(ended);
      new Connection(ws, { ...handlers, hello }, log, { nonce, address });
    });
  };
  return {
    attach: (server, first) =>
      void server.on('upgrade', (request, socket: Duplex, head) => void (first(request, socket, head) || upgrade(request, socket, head))),
    listen: (address) => {
      const server = createServer(patience, (request, response) => void (files(request, response) || onlyUpgrades(request, response))).on(
        'upgrade',
        upgrade,
      );
      own.push(server);
      return bind(server, address);
    },
    close: async () => {
      for (const client of sockets.clients) client.terminate();
      sockets.close();
      for (const server of own) await new Promise<void>((done) => server.close(() => done()));
    },
  };
};

/** As at the API's door: whoever is slow to say what it wants is not waited for. */
const patience = { requestTimeout: 15_000, headersTimeout: 15_000, connectionsCheckingInterval: 1_000 };

const notHere = problemOf({ code: 'route.unknown', message: `Agents connect to ${PATH}` });
const tooMany = problemOf({ code: 'agent.too_many_connections' });
const needsUpgrade = problemOf({ code: 'agent.upgrade_required', message: `Agents connect to ${PATH}` });

const onlyUpgrades = (_: IncomingMessage, response: ServerResponse): void => {
  response.writeHead(needsUpgrade.status, { upgrade: 'websocket', 'content-type': 'application/problem+json' });
  response.end(JSON.stringify(problemDocument(needsUpgrade)));
};

/** Before the upgrade there is no reply object: the answer is written as it goes over the wire. */
const turnAway = (socket: Duplex, problem: Problem): void => void socket.end(rawProblem(problem, ['retry-after: 1']));

/** `address:port`; port 0 takes a free one. Answers the WebSocket address. */
const bind = (server: Server, address: string): Promise<string> =>
  new Promise((done, fail) => {
    const colon = address.lastIndexOf(':');
    const host = address.slice(0, colon);
    server.once('error', fail);
    server.listen(Number(address.slice(colon + 1)), host, () => done(`ws://${host}:${(server.address() as { port: number }).port}${PATH}`));
  });
