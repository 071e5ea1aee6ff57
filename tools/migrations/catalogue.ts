import type pg from 'pg';

/** What a schema is made of, in PostgreSQL's own words: two are the same if these are. The order of columns is no part of it. */
const questions = {
  columns: `select format('%s.%s %s%s default %s %s%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
      case when a.attnotnull then ' not null' else '' end, pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated)
    from pg_attribute a join pg_class c on c.oid = a.attrelid left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
    where c.relnamespace = $1::regnamespace and c.relkind in ('r', 'v') and a.attnum > 0 and not a.attisdropped`,
  constraints: `select format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) from pg_constraint
    where connamespace = $1::regnamespace`,
  indexes: `select indexdef from pg_indexes where schemaname = $1`,
  views: `select viewname || definition from pg_views where schemaname = $1`,
  functions: `select pg_get_functiondef(oid) from pg_proc where pronamespace = $1::regnamespace`,
  triggers: `select pg_get_triggerdef(t.oid) from pg_trigger t join pg_class c on c.oid = t.tgrelid
    where c.relnamespace = $1::regnamespace and not tgisinternal`,
  options: `select format('%s %s %s', relkind, relname, reloptions) from pg_class where relnamespace = $1::regnamespace`,
  grants: `select format('%s %s', c.relname, g) from pg_class c, unnest(c.relacl) g where c.relnamespace = $1::regnamespace
    union all select format('schema %s', g) from pg_namespace, unnest(nspacl) g where oid = $1::regnamespace
    union all select format('default %s %s', defaclobjtype, g) from pg_default_acl, unnest(defaclacl) g
      where defaclnamespace = $1::regnamespace`,
} as const;

export const catalogue = async (pool: pg.Pool, schemas: readonly string[]): Promise<Record<string, string[]>> => {
  const found: Record<string, string[]> = {};
  for (const schema of schemas)
    for (const [what, sql] of Object.entries(questions)) {
      const { rows } = await pool.query<[string]>({ text: sql, values: [schema], rowMode: 'array' });
      found[`${schema} ${what}`] = rows.map(([one]) => one).toSorted();
    }
  return found;
};
