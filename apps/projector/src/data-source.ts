import pg from 'pg';
import { DataSource } from 'typeorm';
import { entities, FeedEntry } from './entities.ts';
import { ReadModels1795424400000 } from './migrations/1-read-models.ts';
import { VmObservations1795872000000 } from './migrations/2-vm-observations.ts';

export const readModels = (databaseUrl: string, schema: string): DataSource =>
  new DataSource({
    type: 'postgres',
    url: databaseUrl,
    schema,
    entities: [...Object.values(entities), FeedEntry],
    migrations: [ReadModels1795424400000, VmObservations1795872000000],
    migrationsTableName: 'read_model_migrations',
    migrationsTransactionMode: 'all',
    // The migrations name tables without their schema, so that one set of them makes the live models and a rebuild's.
    extra: { max: 2, options: `-c search_path=${schema}`, application_name: 'chrysalis-projector-migrations' },
  });

/** Brings the read models to the newest form. Safe at each start and by many at once: one goes, the others wait and find nothing to do. */
export const migrateReadModels = async (databaseUrl: string, schema: string): Promise<void> => {
  const lock = new pg.Client({ connectionString: databaseUrl });
  await lock.connect();
  try {
    await lock.query(`select pg_advisory_lock(hashtextextended('chrysalis.read-models', 0))`);
    await lock.query(`create schema if not exists ${schema}`);
    const source = await readModels(databaseUrl, schema).initialize();
    try {
      await source.runMigrations();
    } finally {
      await source.destroy();
    }
  } finally {
    await lock.end();
  }
};
