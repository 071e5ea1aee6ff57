import { isStorable } from '@chrysalis/kernel';
import { z } from 'zod';
import { badQuery } from './problems.ts';

const MAX = 1000;
const limitOf = (max: number) =>
  z
    .string()
    .refine((text) => /^[1-9][0-9]{0,3}$/.test(text) && Number(text) <= max, `a number from 1 to ${max}`)
    .describe(`At most so many, 1 to ${max}`);
const cursor = z.string().min(1).max(512).describe('The `next` of the page before');
/** What a route's document says of a page. */
export const pageQuery = { limit: limitOf(MAX), cursor };
/** Where a page has 500 at most. */
export const shortPageQuery = { limit: limitOf(500), cursor };

/**
 * A cursor of several parts, as text that its reader sends back. Anybody may send another: what does not have the parts' shapes, or text
 * that PostgreSQL cannot take, is refused here and never reaches a query.
 */
export const cursorOf = <S extends z.ZodType>(schema: S) => ({
  write: (parts: z.infer<S>): string => Buffer.from(JSON.stringify(parts)).toString('base64url'),
  read: (text: string): z.infer<S> => {
    const parts = schema.safeParse(jsonOf(text));
    if (parts.success && isStorable(parts.data)) return parts.data;
    throw badQuery({ path: 'cursor', message: 'the `next` of an earlier page' });
  },
});
const jsonOf = (text: string): unknown => {
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString());
  } catch {
    return undefined;
  }
};
