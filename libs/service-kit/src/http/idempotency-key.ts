import type { CommandRequest } from '../access/auth.ts';
import { ProblemError } from './problems.ts';

const MAX = 255;

/** The key under which a request is done once; none where none was sent. One that could not be kept whole is refused: cut, two keys might be one. */
export const idempotencyKey = (request: Pick<CommandRequest, 'headers'>): string | undefined => {
  const key = [request.headers['idempotency-key']].flat()[0];
  if (key === undefined) return undefined;
  if (key.length >= 1 && key.length <= MAX && /^[\x20-\x7e]+$/.test(key)) return key;
  throw ProblemError.of({ code: 'idempotency.key_invalid', message: `Nothing was done: the key that came has ${key.length}` });
};
