import { Answer, type ApiRequest } from '@chrysalis/service-kit';
import type { Found } from './read-models.ts';

/**
 * One thing with its ETag; 304 where the caller has it already. It is the version of the thing's own stream, which is what `If-Match`
 * guards, and after it that of what others say of the thing (`beside`), so that it changes when either does.
 */
export const oneAnswer = (request: ApiRequest, found: Found, body: object = found, beside = 0): Answer => {
  const etag = beside > 0 ? `"${found.version}-${beside}"` : `"${found.version}"`;
  const known = [request.headers['if-none-match']].flat()[0];
  return known === etag ? new Answer(304, undefined, { etag }) : new Answer(200, body, { etag });
};

/** `30s`, `500ms` or plain seconds, in milliseconds; undefined where it is none. */
export const duration = (text: string): number | undefined => {
  const m = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text);
  return m ? Number(m[1]) * { ms: 1, s: 1000, m: 60_000 }[(m[2] ?? 's') as 'ms' | 's' | 'm'] : undefined;
};
