import type pg from 'pg';

/** Whether it is to be told: once an hour, and at once where another agent asks, but once a minute at most. */
export const noteRefusal = async (tx: pg.PoolClient, hostId: string, code: string, key: string): Promise<boolean> => {
  const { rowCount } = await tx.query(
    `insert into agent_gateway.agent_refusals as r (host_id, code, key, told_at) values ($1, $2, $3, now())
     on conflict (host_id) do update set code = $2, key = $3, told_at = now()
       where r.told_at < now() - interval '1 hour' or (r.told_at < now() - interval '1 minute' and (r.code, r.key) <> ($2, $3))`,
    [hostId, code, key],
  );
  return rowCount !== 0;
};

/** The next one is news again. */
export const forgetRefusal = async (tx: pg.PoolClient, hostId: string): Promise<void> => {
  await tx.query(`delete from agent_gateway.agent_refusals where host_id = $1`, [hostId]);
};
