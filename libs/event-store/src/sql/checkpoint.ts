/** $1 name. */
export const loadCheckpoint = (schema: string) => ({
  name: `${schema}.load_checkpoint`,
  text: `select transaction_id, position, detail from ${schema}.checkpoints where name = $1`,
});

/** $1 name, $2 transaction, $3 position, $4 the detail that it must have, $5 the one that it gets. */
export const moveCheckpoint = (schema: string) => ({
  name: `${schema}.move_checkpoint`,
  text: `
    update ${schema}.checkpoints set transaction_id = $2, position = $3, detail = $5::jsonb, at = now()
    where name = $1 and detail = $4::jsonb`,
});

/** $1 name, $2 transaction, $3 position, $4 detail or null to leave it. */
export const saveCheckpoint = (schema: string) => ({
  name: `${schema}.save_checkpoint`,
  text: `
    insert into ${schema}.checkpoints (name, transaction_id, position, detail) values ($1, $2, $3, coalesce($4::jsonb, '{}'))
    on conflict (name) do update set transaction_id = excluded.transaction_id, position = excluded.position,
      detail = coalesce($4::jsonb, ${schema}.checkpoints.detail), at = now()`,
});
