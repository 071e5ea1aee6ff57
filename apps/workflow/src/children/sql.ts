export type ChildRow = { readonly workflowId: string; readonly parentId: string; readonly token: number };
/** A row that is to be looked at; `ended`: so is the child. `old`: it should have begun long ago. */
export type CheckedRow = ChildRow & { readonly ended: boolean; readonly old: boolean };

export const note = (schema: string) => ({
  name: `${schema}.children_note`,
  text: `insert into ${schema}.children (workflow_id, parent_id, token) values ($1, $2, $3)
    on conflict (workflow_id) do update set token = excluded.token, noted_at = excluded.noted_at, checked_at = excluded.checked_at`,
});

export const forget = (schema: string) => ({
  name: `${schema}.children_forget`,
  text: `delete from ${schema}.children where workflow_id = any($1::text[])`,
});

export const childrenOf = (schema: string) => ({
  name: `${schema}.children_of`,
  text: `select workflow_id as "workflowId", parent_id as "parentId", token from ${schema}.children where parent_id = any($1::text[])`,
});

/** Of $1 those that have ended, of $2 those that do not run forward any more. */
export const settled = (schema: string) => ({
  name: `${schema}.children_settled`,
  text: `
    select workflow_id as id, true as child from ${schema}.instances where workflow_id = any($1::text[]) and ended_at is not null
    union all
    select workflow_id, false from ${schema}.instances where workflow_id = any($2::text[]) and state <> 'running'`,
});

/** At most $1 rows that nobody looked at for 3 s, for this instance alone. */
export const check = (schema: string) => ({
  name: `${schema}.children_check`,
  text: `
    with due as (
      update ${schema}.children set checked_at = clock_timestamp() where workflow_id in (
        select workflow_id from ${schema}.children where checked_at < clock_timestamp() - interval '3 seconds'
        order by checked_at limit $1 for update skip locked)
      returning workflow_id, parent_id, token, noted_at
    )
    select d.workflow_id as "workflowId", d.parent_id as "parentId", d.token, i.ended_at is not null as ended,
      i.workflow_id is null and d.noted_at < clock_timestamp() - interval '1 minute' as old
    from due d left join ${schema}.instances i on i.workflow_id = d.workflow_id`,
});
