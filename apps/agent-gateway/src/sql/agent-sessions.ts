import type { Queryable } from '@chrysalis/event-store';
import type pg from 'pg';

/** The session that the host has, where it was opened with the same facts and is not lost; locked. */
export const sessionWith = async (tx: pg.PoolClient, hostId: string, factsHash: string): Promise<string | undefined> => {
  const { rows } = await tx.query<{ session_id: string }>(
    `select session_id from agent_gateway.agent_sessions where host_id = $1 and not lost and facts_hash = $2 for update`,
    [hostId, factsHash],
  );
  return rows[0]?.session_id;
};

export type Session = { readonly hostId: string; readonly sessionId: string; readonly connectionId: string; readonly factsHash: string };
/** Answers the generation of its connection. */
export const keepSession = async (tx: pg.PoolClient, { hostId, sessionId, connectionId, factsHash }: Session): Promise<number> => {
  const { rows } = await tx.query<{ generation: string }>(
    `insert into agent_gateway.agent_sessions as s (host_id, session_id, connection_id, generation, facts_hash, last_seen, lost)
     values ($1, $2, $3, 1, $4, now(), false)
     on conflict (host_id) do update
       set session_id = $2, connection_id = $3, generation = s.generation + 1, facts_hash = $4, last_seen = now(), lost = false
     returning generation`,
    [hostId, sessionId, connectionId, factsHash],
  );
  return Number(rows[0]!.generation);
};

/** Those of the connections that are a host's session still. */
export const noteSeen = async (db: Queryable, connectionIds: readonly string[]): Promise<ReadonlySet<string>> => {
  const { rows } = await db.query<{ connection_id: string }>(
    `update agent_gateway.agent_sessions set last_seen = now() where connection_id = any($1::text[]) and not lost returning connection_id`,
    [connectionIds],
  );
  return new Set(rows.map((r) => r.connection_id));
};

export const currentSessions = async (tx: pg.PoolClient, connectionIds: readonly string[]): Promise<ReadonlySet<string>> => {
  const { rows } = await tx.query<{ connection_id: string }>(
    `select connection_id from agent_gateway.agent_sessions where connection_id = any($1::text[]) and not lost`,
    [[...new Set(connectionIds)]],
  );
  return new Set(rows.map((r) => r.connection_id));
};

/** Those that were not heard of for so long are lost from now on. */
export const loseSilent = async (tx: pg.PoolClient, deadlineMs: number): Promise<{ host_id: string; session_id: string }[]> =>
  (
    await tx.query<{ host_id: string; session_id: string }>(
      `update agent_gateway.agent_sessions set lost = true
       where host_id in (select host_id from agent_gateway.agent_sessions
                         where not lost and last_seen < now() - $1 * interval '1 ms' limit 500 for update skip locked)
       returning host_id, session_id`,
      [deadlineMs],
    )
  ).rows;

/** Until it is lost: it may be there, and of two agents that both run nobody could say which one has the VMs. */
export const isThere = async (tx: pg.PoolClient, hostId: string): Promise<boolean> =>
  (await tx.query(`select from agent_gateway.agent_sessions where host_id = $1 and not lost`, [hostId])).rowCount === 1;
