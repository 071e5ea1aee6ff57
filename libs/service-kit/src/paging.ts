import { z } from 'zod';

/** What a list is asked for with: `limit` rows at most, those after `cursor` (the `next` of the page before). */
export const Page = z.object({ limit: z.coerce.number().int().min(1).max(1000).default(100), cursor: z.string().max(255).default('') });

/** What a route's document says of the two. */
export const pageQuery = { limit: 'at most, 100 unless told', cursor: 'from the page before' };

/** `next` of a page: the key of its last row. A page that is not full is the last one, and has none. */
export const nextOf = <R>(rows: readonly R[], limit: number, key: (last: R) => string): { next?: string } =>
  rows.length === limit ? { next: key(rows.at(-1)!) } : {};
