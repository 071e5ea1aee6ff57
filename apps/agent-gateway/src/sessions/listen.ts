import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import { WebSocketServer } from 'ws';
import { Connection, type ConnectionHandlers } from './connection.ts';

const PATH = '/v1/agents';
/** A frame up to this size is read whole so that it can be answered; above it the connection is cut. */
const MAX_PAYLOAD = 4 * 1_048_576;
/** Connections that have not said hello yet. A storm beyond it is turned away before it costs anything, and comes back by its backoff. */
const MAX_GREETING = 256;

export type AgentListener = {
  readonly attach: (server: Server) => void;
  readonly listen: (address: string) => Promise<string>;
  close(): Promise<void>;
};

/** `GET /v1/agents` as a WebSocket, on any HTTP server given, and on an address of its own. */
export const agentListener = (handlers: ConnectionHandlers, log: Logger): AgentListener => {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_PAYLOAD, perMessageDeflate: false, clientTracking: true });
  const own: Server[] = [];
  let greeting = 0;
  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    socket.on('error', () => socket.destroy());
    if (new URL(request.url ?? '/', 'http://agents').pathname !== PATH) return turnAway(socket, '404 Not Found');
    if (greeting >= MAX_GREETING) return turnAway(socket, '503 Service Unavailable');
    greeting++;
    let greeted = false;
    const ended = (): void => {
      if (!greeted) greeting--;
      greeted = true;
    };
    socket.once('close', ended);
    sockets.handleUpgrade(request, socket, head, (ws) => {
      const hello: ConnectionHandlers['hello'] = (connection, frame) => handlers.hello(connection, frame).finally(ended);
      new Connection(ws, { ...handlers, hello }, log);
    });
  };
  return {
    attach: (server) => void server.on('upgrade', upgrade),
    listen: (address) => {
      const server = createServer((_, response) => response.writeHead(426, { upgrade: 'websocket' }).end()).on('upgrade', upgrade);
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

const turnAway = (socket: Duplex, status: string): void => {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n`);
};

/** `address:port`; port 0 takes a free one. Answers the WebSocket address. */
const bind = (server: Server, address: string): Promise<string> =>
  new Promise((done, fail) => {
    const colon = address.lastIndexOf(':');
    const host = address.slice(0, colon);
    server.once('error', fail);
    server.listen(Number(address.slice(colon + 1)), host, () => done(`ws://${host}:${(server.address() as { port: number }).port}${PATH}`));
  });
