import { createHash } from 'node:crypto';
import type { Serial } from '../serial.ts';

/** Slots belong to the whole server, so the name carries the database; 63 characters at most. */
const slotName = (database: string, schema: string): string => {
  const hash = createHash('sha256').update(`${database} ${schema}`).digest('hex').slice(0, 10);
  return `chrysalis_${schema.slice(0, 40)}_${hash}`;
};

export const publicationName = (schema: string): string => `chrysalis_${schema}`;

/** Whether this server and this role can do it at all. */
export const logicalPossible = async (query: Serial): Promise<string | undefined> => {
  const { rows } = await query<{ level: string; may: boolean }>(
    `select current_setting('wal_level') as level, rolreplication or rolsuper as may from pg_roles where rolname = current_user`,
  );
  if (rows[0]!.level !== 'logical') return `wal_level is ${rows[0]!.level}`;
  return rows[0]!.may ? undefined : 'the role may not replicate';
};

/**
 * Makes publication and slot where missing. A new slot starts now, so what was committed before has to be read from the table: that is
 * written down first (`beforeMaking`), as the slot outlives us. A slot the server gave up (max_slot_wal_keep_size) is made anew.
 */
export const ensureSlot = async (query: Serial, schema: string, beforeMaking: () => Promise<void>): Promise<string> => {
  const { rows: db } = await query<{ name: string }>('select current_database() as name');
  const slot = slotName(db[0]!.name, schema);
  const publication = publicationName(schema);
  const { rowCount: published } = await query('select from pg_publication where pubname = $1', [publication]);
  if (!published) await query(`create publication ${publication} for table ${schema}.events with (publish = 'insert')`);
  const { rows } = await query<{ wal_status: string | null }>('select wal_status from pg_replication_slots where slot_name = $1', [slot]);
  if (rows[0] && rows[0].wal_status !== 'lost') return slot;
  await beforeMaking();
  if (rows[0]) await query('select pg_drop_replication_slot($1)', [slot]);
  await query(`select pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
  return slot;
};

/** A predecessor that hangs still holds the slot: we have the lead, so its sender is ended. */
export const freeSlot = async (query: Serial, slot: string): Promise<void> => {
  await query('select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1 and active', [slot]);
};
