import { ConcurrentAppend } from '@chrysalis/event-store';
import type { CommandRequest } from '../access/auth.ts';
import { ProblemError } from './problems.ts';

/** The header of an answer that shows a stream at this version. */
export const etag = (version: number): { etag: string } => ({ etag: `"${version}"` });

/**
 * The version that the caller has seen; none where it does not say, or says `*`. Anything but one ETag is `request.malformed`. What comes
 * after the version in an ETag is of other streams that speak of the thing: a command does not depend on it.
 */
export const ifMatch = (request: Pick<CommandRequest, 'headers'>): number | undefined => {
  const header = request.headers['if-match'];
  if (header === undefined || header === '*') return undefined;
  const version = /^"(\d{1,9})(?:-\d{1,9})?"$/.exec(header)?.[1];
  if (version === undefined)
    throw ProblemError.of({
      code: 'request.malformed',
      message: 'If-Match must be one ETag of this resource: send it as it came, with the quotes: "17"',
    });
  return Number(version);
};

/**
 * Of a refused command. Refused at a version that its caller did not name, but that what is asked of hosts was made from, it has lost a race:
 * thrown so, all of it is done again, from what is so now.
 */
export const refusal = (named: number | undefined, rejection: Refusal): Error =>
  named === undefined && rejection.code === 'stream.version_mismatch' && rejection.stream !== undefined
    ? new ConcurrentAppend([rejection.stream])
    : ProblemError.of(rejection);
type Refusal = Parameters<typeof ProblemError.of>[0] & { readonly stream?: string };
