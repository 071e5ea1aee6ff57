import type pg from 'pg';

/** Of all routes that are no reads the ones without a dry run, each with its reason. A new one is to have one. */
const trial = 'a trial by itself: nothing is kept';
export const cannotBeTried: Readonly<Record<string, string>> = {
  'POST /v1/placements': trial,
  'POST /v1/volume-placements': trial,
  'POST /v1/migration-templates/validate': trial,
  'POST /v1/migration-templates/try': trial,
  'POST /v1/workflow-templates/validate': trial,
  'POST /v1/workflow-policies/{}/test': trial,
  'POST /v1/relay-audit': 'runs beside the request; without `fill` it only compares',
  'POST /v1/relay-audits/{}': 'as the owner’s',
};

/** What moves by itself in a fleet that stands still: heartbeats, how far somebody has read, looks at timers, word of who is there. */
const moves = /^(bus\.members|agent_gateway\.agent_(sessions|clocks)|\w+\.checkpoints|workflow\.timers)$/;

/** Every table that services write, each as a sum over its rows; the log is one of them. */
export const stateOf = async (pool: pg.Pool): Promise<ReadonlyMap<string, string>> => {
  const { rows } = await pool.query<{ name: string }>(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname !~ '^(pg_|information_schema)' and tablename <> 'schema_migrations' order by 1`,
  );
  const sums = await Promise.all(
    rows
      .filter(({ name }) => !moves.test(name))
      .map(async ({ name }) => {
        const { rows: sum } = await pool.query<{ sum: string }>(`select md5(coalesce(string_agg(t::text, ',' order by t::text), '')) as sum from ${name} t`);
        return [name, sum[0]!.sum] as const;
      }),
  );
  return new Map(sums);
}; // prettier-ignore

export const changedSince = (before: ReadonlyMap<string, string>, now: ReadonlyMap<string, string>): string[] =>
  [...now].filter(([name, sum]) => before.get(name) !== sum).map(([name]) => name);

type Answered = { readonly status: number; readonly body: Readonly<Record<string, unknown>> };

/** The same refusal, or the same answer: but for ids and moments, which are made anew each time. */
export const likeReal = (tried: Answered, real: Answered): boolean => {
  if (real.status >= 300) return tried.status === real.status && tried.body['code'] === real.body['code'];
  const { dryRun, ...body } = tried.body;
  return tried.status === 200 && dryRun === true && bare(body) === bare(real.body);
};
const made = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+Z/g;
/** What others move between the trial and the real one: a host is given VMs, a workflow goes on. */
const others = new Set(['version', 'held', 'free']);
const bare = (body: object): string =>
  JSON.stringify(Object.fromEntries(Object.entries(body).filter(([member]) => !others.has(member)))).replaceAll(made, '…');
