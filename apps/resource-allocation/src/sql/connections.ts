import type { Queryable } from '@chrysalis/event-store';

/** A session opened: it is the one that counts from now on. */
export const sessionOpened = async (tx: Queryable, schema: string, host: string, session: string, at: string): Promise<void> => {
  await tx.query(
    `insert into ${schema}.host_connections (host, session, connected, since) values ($1, $2, true, $3)
     on conflict (host) do update set session = excluded.session, connected = true, reason = null, since = excluded.since`,
    [host, session, at],
  );
};

/** A session ended. That of an older session, told late, says nothing of the newer one. */
export const sessionLost = async (
  tx: Queryable,
  schema: string,
  lost: { host: string; session: string; reason: string; at: string },
): Promise<void> => {
  await tx.query(
    `update ${schema}.host_connections set connected = false, reason = $3, since = $4 where host = $1 and session = $2 and connected`,
    [lost.host, lost.session, lost.reason, lost.at],
  );
};
