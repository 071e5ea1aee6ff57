import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** One step of a schema's tables: SQL by hand, run once, in a transaction of its own, with the schema as the only search path. */
export type Migration = { readonly number: number; readonly name: string; readonly sql: string };

/** Where TypeORM notes what it has run. */
export const MIGRATIONS_TABLE = 'schema_migrations';

export const fileName = ({ number, name }: Migration): string => `${String(number).padStart(4, '0')}-${name}.sql`;

/** What TypeORM takes a name for: it reads the number from the last thirteen characters. */
export const recordedName = ({ number, name }: Migration): string => `${name}-${String(number).padStart(13, '0')}`;

const FILE = /^(\d{4})-([a-z0-9]+(?:-[a-z0-9]+)*)\.sql$/;

/** The files `NNNN-what-it-does.sql` of a folder, in the order of their numbers. Another `.sql` there is a mistake, and said to be one. */
export const migrationsIn = (folder: string): readonly Migration[] =>
  inOrder(
    readdirSync(folder)
      .filter((file) => file.endsWith('.sql'))
      .map((file) => {
        const [, number, name] = FILE.exec(file) ?? [];
        if (!Number(number)) throw new Error(`a migration is named NNNN-what-it-does.sql, from 0001 on: ${path.join(folder, file)}`);
        return { number: Number(number), name: name!, sql: readFileSync(path.join(folder, file), 'utf8') };
      }),
  );

/** By number, whichever came from where. Two of one number have no order, so there must not be two. */
export const inOrder = (migrations: readonly Migration[]): readonly Migration[] => {
  const sorted = migrations.toSorted((a, b) => a.number - b.number);
  const twice = sorted.find((m, i) => sorted[i - 1]?.number === m.number);
  if (twice) throw new Error(`two migrations have the number ${twice.number}: one is ${twice.name}`);
  return sorted;
};

/** The log and what stands beside it. */
export const logMigrations = migrationsIn(path.join(import.meta.dirname, '../migrations'));

const FIRST_OWN = 1001;

/**
 * The one sequence of a service: those of the log, numbered below 1001, then its own, from 1001 on. A later one of the log runs before a
 * service's own on a new database and after them on another, so the log's touch nothing but the log's tables.
 */
export const afterLog = (own: readonly Migration[] = []): readonly Migration[] => {
  const early = own.find((migration) => migration.number < FIRST_OWN);
  if (early) throw new Error(`a service's migrations are numbered from ${FIRST_OWN} on, not ${early.number} (${early.name})`);
  return inOrder([...logMigrations, ...own]);
};
