import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { ConnectionError, FastifyReply, FastifyRequest } from 'fastify';
import { problemDocument, problemOf, type Problem } from './problems.ts';

/** Requests that Fastify refuses before there is a route, and so before the filter: they are answered with problems too. */
export const unroutable = {
  frameworkErrors: (error: { statusCode?: number }, request: FastifyRequest, reply: FastifyReply): void => {
    const problem = error.statusCode === 414 ? tooLong : badUrl;
    void reply
      .status(problem.status)
      .header('content-type', 'application/problem+json')
      .send(JSON.stringify(problemDocument(problem, request.url.slice(0, 500))));
  },
  /** What is not HTTP has no reply object; the connection ends, for nothing says where a next request would begin. */
  clientErrorHandler: (error: ConnectionError, socket: Socket): void => {
    if (error.code === 'ECONNRESET' || socket.destroyed) return;
    if (socket.writable) socket.write(rawProblem(problemOfConnection(error)));
    socket.destroy(error);
  },
};

const tooLong = problemOf({ code: 'request.too_long', message: 'No name or id here has more than 255 characters' });
const badUrl = problemOf({
  code: 'request.malformed',
  message: 'The path has a % that no two hexadecimal digits of UTF-8 follow: encode it as in encodeURIComponent',
});

const problemOfConnection = ({ code }: ConnectionError): Problem => {
  if (code === 'HPE_HEADER_OVERFLOW')
    return problemOf({ code: 'request.headers_too_large', message: 'All headers together may have 16 KiB' });
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return problemOf({ code: 'request.timeout', message: 'Nothing was done' });
  return problemOf({ code: 'request.malformed', message: 'What came is not HTTP/1.1: mind Content-Length and the bytes after the body' });
};

/** The last answer of a connection that has no response object, byte for byte. `headers`: further lines. */
export const rawProblem = (problem: Problem, headers: readonly string[] = []): string => {
  const body = JSON.stringify(problemDocument(problem));
  const own = [`HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`, 'connection: close', 'content-type: application/problem+json'];
  const head = [...own, ...headers].join('\r\n');
  return `${head}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
};
