import pg from 'pg';
import { identifier } from '../sql/identifier.ts';
import { inOrder, logMigrations, MIGRATIONS_TABLE, recordedName, type Migration } from './migration.ts';

/** The role services run as: reads all, adds events, never changes one. */
export const appRole = 'chrysalis_app';

/**
 * Brings a schema to its newest migration, as the tables' owner. Safe at each start and by many at once: one goes, the others wait, then
 * find nothing to do. Where nothing is missing it is one query, and TypeORM (200 ms to load) is not loaded.
 * `unknown`: what a newer release has run here, which this one knows nothing of.
 */
export const migrate = async (
  databaseUrl: string,
  schema: string,
  migrations: readonly Migration[] = logMigrations,
): Promise<{ readonly applied: readonly string[]; readonly unknown: readonly string[] }> => {
  identifier(schema);
  const all = inOrder(migrations);
  const done = await recorded(databaseUrl, schema);
  const ours = all.map(recordedName);
  const unknown = done.filter((name) => !ours.includes(name));
  if (ours.every((name) => done.includes(name))) return { applied: [], unknown };
  const { runMissing } = await import('./run-missing.ts');
  return { applied: await runMissing(databaseUrl, schema, all), unknown };
};

const recorded = async (databaseUrl: string, schema: string): Promise<readonly string[]> => {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'chrysalis-migrations' });
  client.on('error', () => undefined); // between two queries; the next one says so
  await client.connect();
  try {
    const { rows } = await client.query<{ name: string }>(`select name from ${schema}.${MIGRATIONS_TABLE} order by id`);
    return rows.map((row) => row.name);
  } catch (error) {
    if (!['42P01', '3F000'].includes((error as { code?: string }).code ?? '')) throw error;
    return []; // no such table, no such schema: a new database
  } finally {
    await client.end();
  }
};
