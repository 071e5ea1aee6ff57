import { columns } from './columns.ts';

/** $1 stream, $2 first version, $3 last version. */
export const read = (schema: string) => ({
  name: `${schema}.read`,
  text: `select ${columns} from ${schema}.events where stream_id = $1 and version between $2 and $3 order by version`,
});

/**
 * The stream as of a moment ($4): up to the first event that is later. A prefix always, also where clocks stepped back between two
 * events, for a state with a hole in its history never was.
 */
export const readAsOf = (schema: string) => ({
  name: `${schema}.read_as_of`,
  text: `
    select ${columns} from ${schema}.events where stream_id = $1 and version between $2 and $3
      and version < coalesce((select min(version) from ${schema}.events where stream_id = $1 and at > $4::timestamptz), 2147483647)
    order by version`,
});
