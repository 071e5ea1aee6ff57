import { text } from 'node:stream/consumers';
import { WebSocket } from 'ws';
import { ApiError, unreachable } from './errors.ts';

/** A WebSocket of the admin API; what it is refused with is an `ApiError`, as of any request. It reads nothing until it is resumed. */
export const openSocket = (base: string, headers: Readonly<Record<string, string>>, path: string): Promise<WebSocket> => {
  const socket = new WebSocket(`${base.replace(/^http/, 'ws')}${path}`, { headers, handshakeTimeout: 15_000, perMessageDeflate: false });
  return new Promise((done, fail) => {
    socket.once('open', () => {
      socket.pause();
      done(socket);
    });
    socket.once('unexpected-response', (_, response) => {
      text(response).then((body) => fail(ApiError.of(response.statusCode ?? 0, parsed(body))), fail);
    });
    socket.on('error', (error) => fail(unreachable(base, error)));
  });
};

const parsed = (body: string): unknown => {
  try {
    return JSON.parse(body);
  } catch {
    return body;
  }
};
