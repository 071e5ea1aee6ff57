import { UnfitValues } from '../errors.ts';
import type { Append } from '../types.ts';
import { expectation } from './append.ts';

/**
 * The appends of several callers, each of which may name several streams: one look at each stream, one insert, one commit, and a
 * verdict for each caller. No stream is named twice.
 *
 * Per append: $1 streams, $2 expectations, $3 whose it is, $4 how many events, $5 how many events are before its own. Per event: $6 ids,
 * $7 which type, $8 which meta (both 1-based), $9 data as one array of JSON. Then what those point to: $10 types, $11 metas as one array
 * of JSON, $12 the metas' moments. Returns a row per append, in order: the version its stream had. Who fits is computed from that on
 * both sides alike (`fits` in append.ts).
 *
 * Safe as in append.ts, and besides: a stream that an open transaction holds ends the statement after 50 ms instead of holding up all
 * others (55P03). `lock_timeout` is set by the statement itself, before its first row, and ends with it: a round trip less than `set local`.
 *
 * `(select $1)` hides from the planner how long the array is: else it takes a plan for a small group to be better than the one for any,
 * and makes one each time, which takes longer than the statement.
 */
export const appendGroup = (schema: string) => ({
  name: `${schema}.append_group`,
  text: `${group(schema)}
    select version from decided order by n`,
});

/**
 * What a caller writes in the same statement, hence the same commit. `ctes` follow those of the group: `decided` has a row per append with
 * `stream_id`, `version` (before it) and `all_fit`; what belongs to a stream that does not fit is theirs to leave out. Parameters from
 * $13 on are theirs. `answer` is an expression.
 */
export type Beside = { readonly name: string; readonly ctes: string; readonly answer: string };

/** Returns one row: the versions that the streams had, and the caller's own answer. */
export const appendGroupBeside = (schema: string, { name, ctes, answer }: Beside) => ({
  name: `${schema}.append_group.${name}`,
  text: `${group(schema)}, ${ctes}
    select (select array_agg(version order by n) from decided) as versions, ${answer} as answer`,
});

const group = (schema: string): string => `
    with asked as (
      select a.n, a.caller, a.stream_id, a.count, a.before, coalesce(last.version, 0) as version, last.transaction_id,
        case a.expected when -1 then true when -2 then last.version is not null else coalesce(last.version, 0) = a.expected end as fits
      from unnest((select $1::text[]), (select $2::int[]), (select $3::int[]), (select $4::int[]), (select $5::int[]))
        with ordinality as a (stream_id, expected, caller, count, before, n)
      left join lateral (
        select e.version, e.transaction_id from ${schema}.events e where e.stream_id = a.stream_id order by e.version desc limit 1
      ) last on true
    ), decided as materialized (
      select *, bool_and(fits) over (partition by caller) as all_fit from asked
    ), inserted as (
      insert into ${schema}.events (transaction_id, stream_id, version, id, type, data, meta, at)
      select e.transaction_id, e.stream_id, e.version, ($6::uuid[])[e.place], ($10::text[])[($7::int[])[e.place]],
        $9::jsonb -> (e.place - 1), $11::jsonb -> (e.meta - 1), ($12::timestamptz[])[e.meta]
      from (
        select greatest(pg_current_xact_id(), a.transaction_id) as transaction_id, a.stream_id, a.version + step as version,
          a.before + step as place, ($8::int[])[a.before + step] as meta
        from decided a cross join lateral generate_series(1, a.count) step
        where a.all_fit and (select set_config('lock_timeout', '50ms', true)) is not null
        order by a.n, step
      ) e
    )`;

export const appendGroupValues = (lists: readonly (readonly Append[])[]): unknown[] => {
  try {
    return valuesOf(lists);
  } catch (cause) {
    throw new UnfitValues('not all of a group can be sent', { cause });
  }
};

const valuesOf = (lists: readonly (readonly Append[])[]): unknown[] => {
  const appends = lists.flat();
  const events = appends.flatMap((a) => a.events);
  const types = new Map<string, number>();
  const metas = new Map<Append['events'][number]['meta'], number>();
  let before = 0;
  return [
    appends.map((a) => a.stream),
    integers(appends.map((a) => expectation(a.expected))),
    integers(lists.flatMap((list, caller) => list.map(() => caller))),
    integers(appends.map((a) => a.events.length)),
    integers(appends.map((a) => (before += a.events.length) - a.events.length)),
    uuids(events.map((e) => e.id)),
    integers(events.map((e) => place(types, e.type))),
    integers(events.map((e) => place(metas, e.meta))),
    JSON.stringify(events.map((e) => e.data ?? null)),
    [...types.keys()],
    JSON.stringify([...metas.keys()]),
    Array.from(metas.keys(), (meta) => meta.at),
  ];
};

/** An array as PostgreSQL reads it. The driver would look at each number for what it is. */
const integers = (list: readonly number[]): string => `{${list.join(',')}}`;

/** What is no uuid goes the slow way, where it is quoted, and is refused by the database. */
const uuids = (list: readonly string[]): unknown => (list.every((id) => uuid.test(id)) ? `{${list.join(',')}}` : list);
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

const place = <T>(places: Map<T, number>, value: T): number => {
  const known = places.get(value);
  if (known) return known;
  places.set(value, places.size + 1);
  return places.size;
};
