import type { Queryable } from '@chrysalis/event-store';
import { tables } from './projection.ts';

/**
 * One hash for each read model, over everything in it. Two sets of models are the same if these are. The feed's positions are not in
 * it: they say in which order this instance heard of things, which is no part of the truth.
 */
export const hashes = async (db: Queryable, schema: string): Promise<Record<string, string>> => {
  const of = async (sql: string): Promise<string> => (await db.query<{ hash: string }>(sql)).rows[0]!.hash;
  const digest = (row: string, order: string, from: string): string =>
    `select encode(sha256(convert_to(coalesce(string_agg(md5(${row}), '' order by ${order}), ''), 'UTF8')), 'hex') as hash from ${from} t`;
  const result: Record<string, string> = {};
  for (const table of tables) result[table] = await of(digest(`to_jsonb(t)::text`, 'id collate "C"', `${schema}.${table}`));
  result['feed'] = await of(digest(`(to_jsonb(t) - 'position')::text`, 'event_id', `${schema}.feed`));
  return result;
};
