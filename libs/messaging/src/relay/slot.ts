import { createHash } from 'node:crypto';
import type { Serial } from '../serial.ts';
import { lsnNumber } from './lsn.ts';

/** Slots belong to the whole server, so the name carries the database; 63 characters at most. */
const slotName = (database: string, schema: string): string => {
  const hash = createHash('sha256').update(`${database} ${schema}`).digest('hex').slice(0, 10);
  return `chrysalis_${schema.slice(0, 40)}_${hash}`;
};

/** `begin`: where it stood when it was made or found, by when its publication was there. `end`: how far the server's log went then. */
export type Slot = { readonly name: string; readonly begin: bigint; readonly end: bigint };

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
export const ensureSlot = async (query: Serial, schema: string, beforeMaking: () => Promise<void>): Promise<Slot> => {
  const { rows: db } = await query<{ name: string }>('select current_database() as name');
  const slot = slotName(db[0]!.name, schema);
  const publication = publicationName(schema);
  const { rowCount: published } = await query('select from pg_publication where pubname = $1', [publication]);
  if (!published) await query(`create publication ${publication} for table ${schema}.events with (publish = 'insert')`);
  type Found = { wal_status: string | null; begin: string; end: string };
  const find = async (): Promise<Found | undefined> => {
    const text = `select wal_status, confirmed_flush_lsn as begin, pg_current_wal_insert_lsn() as end from pg_replication_slots where slot_name = $1`;
    return (await query<Found>(text, [slot])).rows[0];
  };
  const asSlot = ({ begin, end }: Found): Slot => ({ name: slot, begin: lsnNumber(begin), end: lsnNumber(end) });
  const found = await find();
  if (found && found.wal_status !== 'lost') return asSlot(found);
  await beforeMaking();
  if (found) await query('select pg_drop_replication_slot($1)', [slot]);
  await query(`select pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
  return asSlot((await find())!);
};

/** A predecessor that hangs still holds the slot: we have the lead, so its sender is ended. */
export const freeSlot = async (query: Serial, slot: string): Promise<void> => {
  await query('select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1 and active', [slot]);
};

/** Its sender lets go of a slot a moment after its connection has ended; one that does not is ended itself. */
export const slotFree = async (query: Serial, slot: string): Promise<void> => {
  for (let look = 0; look < 100; look++) {
    const { rows } = await query('select from pg_replication_slots where slot_name = $1 and active', [slot]);
    if (rows.length === 0) return;
    if (look > 20) await freeSlot(query, slot);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`the slot ${slot} does not become free`);
};
