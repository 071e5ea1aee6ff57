import type { CodeEntries } from './entry.ts';

/** What a request itself, the caller or the service behind it is refused for, and what the command line says on its own. */
export const requestsCodes = {
  'auth.required': {
    status: 401,
    title: 'A valid token is needed',
    next: 'give a token with --token or CHRYSALIS_TOKEN (`Authorization: Bearer TOKEN`)',
  },
  'auth.denied': {
    status: 403,
    title: 'The caller may not do this',
    next: ['ask for a token with the role {needs}', 'ask for a token of one who may'],
  },
  'route.unknown': { status: 404, title: 'There is nothing here', next: 'GET /openapi.json lists every path and its methods' },
  'request.invalid': { status: 422, title: 'The request has faults', next: 'mend what `errors` names, and send it again' },
  'request.malformed': {
    status: 400,
    title: 'The request could not be read',
    next: 'send valid HTTP with a body of JSON, and each header as the reference has it',
  },
  'request.refused': { status: 400, title: 'The request was refused', next: 'read `detail`, and send another' },
  'request.media_type': {
    status: 415,
    title: 'The body must be application/json',
    next: 'send JSON, with `content-type: application/json`',
  },
  'request.too_large': { status: 413, title: 'The request is larger than the limit', next: 'send a body of 1 MiB at the most' },
  'request.too_deep': { status: 422, title: 'The body is nested too deep', next: 'send a flatter body' },
  'request.no_dry_run': { status: 422, title: 'This cannot be tried without being done', next: 'leave dryRun out, and mean it' },
  'request.text_invalid': {
    status: 422,
    title: 'The request has text that cannot be kept',
    next: 'send it without NUL characters and halves of surrogate pairs',
  },
  'request.too_long': {
    status: 414,
    title: 'A part of the path is longer than the limit',
    next: 'no name or id has more than 255 characters: send a shorter one',
  },
  'request.headers_too_large': {
    status: 431,
    title: 'The headers are larger than the limit',
    next: 'send fewer headers, or a shorter token: 16 KiB together are the most',
  },
  'request.timeout': { status: 408, title: 'The request did not come to its end in time', next: 'nothing was done: send it again' },
  'idempotency.key_invalid': {
    status: 422,
    title: 'An Idempotency-Key has 1 to 255 printable ASCII characters',
    next: 'send another key: a UUID serves well',
  },
  'idempotency.key_reused': {
    status: 409,
    title: 'This Idempotency-Key was used for another request',
    next: 'take a new key for a new request; an old one only to repeat the very same',
  },
  'command.unknown': { status: 404, title: 'There is no such command', next: 'take a type that GET /asyncapi.json has in `commands`' },
  'command.malformed': {
    status: 400,
    title: 'The command could not be read',
    next: 'send a CloudEvent 1.0 in binary mode, its attributes and data as GET /asyncapi.json has them',
  },
  'command.expired': {
    status: 408,
    title: 'The command came to its turn after its expirytime',
    next: 'nothing was done: send it again with a later expirytime, if it is still wanted',
  },
  'stream.version_mismatch': {
    status: 412,
    title: 'It has changed since you saw it',
    next: 'read it again, and send the version that it has now (its ETag)',
  },
  'service.contended': {
    status: 503,
    title: 'Too many change the same thing at this moment',
    next: 'nothing was done: send it again in a moment, with the same Idempotency-Key',
  },
  'service.unavailable': {
    status: 503,
    title: 'A part of the control plane does not answer',
    next: 'try again in a moment, a command with the same Idempotency-Key: nothing is done twice',
  },
  'service.not_ready': { status: 503, title: 'The service is not ready', next: 'wait until GET /health/ready answers 200' },
  'service.fault': {
    status: 500,
    title: 'The service failed',
    next: 'try again; if it stays, look for this request in the log of the service',
  },
  'service.unknown': { status: 404, title: 'There is no such service', next: 'take one of those that `known` or `detail` names' },
  'dead-letter.unknown': { status: 404, title: 'No such event is parked here', next: 'chrysalis dead-letter list' },
  'relay-audit.running': {
    status: 409,
    title: 'Another comparison of this log with the bus runs',
    next: 'wait until it has ended, and ask again',
  },
  'client.unreachable': {
    title: 'The server cannot be reached',
    next: 'is it running? start it with `npm run up`, or name another with --server',
  },
  'client.no_problem': {
    title: 'The server answered with something that is no problem document',
    next: 'see whether --server names a Chrysalis API, and what stands in front of it',
  },
  'event_store.concurrent_append': { title: 'Others appended to the stream first', next: 'nothing: it is decided again' },
  'failpoint.hit': { title: 'A failpoint fired', next: 'nothing: a test asked for it' },
} as const satisfies CodeEntries;
