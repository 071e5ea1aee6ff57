import { AbstractLogger, DataSource, MigrationExecutor, type MigrationInterface, type QueryRunner } from 'typeorm';
import { fileName, MIGRATIONS_TABLE, recordedName, type Migration } from './migration.ts';

/**
 * TypeORM runs what it has not noted yet, each migration with its note in one transaction: whoever is killed between two leaves the first
 * ones done, and the next start goes on. All of it over one connection that holds the schema's lock, so the lock goes when the process does.
 */
export const runMissing = async (databaseUrl: string, schema: string, migrations: readonly Migration[]): Promise<readonly string[]> => {
  const source = new DataSource({
    type: 'postgres',
    url: databaseUrl,
    schema,
    applicationName: 'chrysalis-migrations',
    installExtensions: false,
    migrations: migrations.map((migration) => asTypeOrm(schema, migration)),
    migrationsTableName: MIGRATIONS_TABLE,
    logger: new Silent(),
    poolErrorHandler: () => undefined, // a connection lost between two queries; the next one says so
    extra: { max: 1 },
  });
  await source.initialize();
  const runner = source.createQueryRunner();
  try {
    await runner.query(`select pg_advisory_lock(hashtextextended('chrysalis.migrate.${schema}', 0))`);
    await runner.query(`create schema if not exists ${schema}`);
    const executor = new MigrationExecutor(source, runner);
    executor.transaction = 'each';
    const ran = new Set((await executor.executePendingMigrations()).map(({ name }) => name));
    return migrations.filter((migration) => ran.has(recordedName(migration))).map(fileName);
  } finally {
    await runner.release();
    await source.destroy(); // and with the connection the lock
  }
};

/** A service's log is its own; what fails is thrown. */
class Silent extends AbstractLogger {
  protected writeLog(): void {}
}

const asTypeOrm = (schema: string, migration: Migration): new () => MigrationInterface =>
  class implements MigrationInterface {
    readonly name = recordedName(migration);

    async up(runner: QueryRunner): Promise<void> {
      try {
        await runner.query(`set local search_path to ${schema};\n${migration.sql}`);
      } catch (cause) {
        throw new Error(`migration ${fileName(migration)} of schema ${schema}: ${(cause as Error).message}`, { cause });
      }
    }

    /** A log is not unmade: what a migration did wrong, the next one puts right. */
    down(): Promise<void> {
      return Promise.reject(new Error('migrations go forward only'));
    }
  };
