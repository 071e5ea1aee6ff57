import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { ConnectionError, FastifyReply, FastifyRequest } from 'fastify';
import { problemDocument, type Problem } from './problems.ts';

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
    if (socket.writable) socket.write(rawProblem(problemOf(error)));
    socket.destroy(error);
  },
};

const tooLong: Problem = {
  status: 414,
  code: 'request.too_long',
  title: 'A part of the path is longer than the limit',
  detail: 'No name or id here has more than 255 characters',
};
const badUrl: Problem = {
  status: 400,
  code: 'request.malformed',
  title: 'The request could not be read',
  detail: 'The path has a % that no two hexadecimal digits of UTF-8 follow: encode it as in encodeURIComponent',
};

const problemOf = ({ code }: ConnectionError): Problem => {
  if (code === 'HPE_HEADER_OVERFLOW')
    return {
      status: 431,
      code: 'request.headers_too_large',
      title: 'The headers are larger than the limit',
      detail: 'All headers together may have 16 KiB: send fewer, or a shorter token',
    };
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return {
      status: 408,
      code: 'request.timeout',
      title: 'The request did not come to its end in time',
      detail: 'Nothing was done: send it again',
    };
  return {
    status: 400,
    code: 'request.malformed',
    title: 'The request could not be read',
    detail: 'What came is not HTTP/1.1: mind Content-Length and the bytes after the body',
  };
};

/** The last answer of a connection that has no response object, byte for byte. `headers`: further lines. */
export const rawProblem = (problem: Problem, headers: readonly string[] = []): string => {
  const body = JSON.stringify(problemDocument(problem));
  const own = [`HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`, 'connection: close', 'content-type: application/problem+json'];
  const head = [...own, ...headers].join('\r\n');
  return `${head}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
};
