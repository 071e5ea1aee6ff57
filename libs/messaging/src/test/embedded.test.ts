import { expect, test } from '@jest/globals';
import { temporaryDatabase, type TemporaryDatabase } from '@chrysalis/testing';
import { createBus } from '../index.ts';
import { busContract, type Harness } from './contract.ts';

const open = async (db: TemporaryDatabase): Promise<Harness> => {
  const pool = db.pool({ max: 20 });
  // Another connection string is another membership, as in another process.
  const connectionString = (n: number): string => `${db.connectionString}?application_name=member-${n}`;
  return {
    open: (n) => createBus({ kind: 'embedded', pool, connectionString: connectionString(n) }),
    config: { kind: 'embedded', pool, connectionString: db.connectionString },
  };
};

busContract({
  name: 'embedded',
  open,
  openDestructible: async (db) => ({
    ...(await open(db)),
    destroy: async () => void (await db.pool().query('drop schema bus cascade')),
  }),
  close: async () => undefined,
  handsOverCleanly: true,
});

test('groups that subscribe in one moment share one connection, and each reads every partition', async () => {
  const db = await temporaryDatabase();
  const pool = db.pool({ max: 20 });
  const bus = createBus({ kind: 'embedded', pool, connectionString: db.connectionString });
  try {
    await bus.ensureTopics([{ name: 'things', partitions: 6 }]);
    const groups = Array.from({ length: 8 }, (_, i) => `group-${i}`);
    const handle = (): Promise<void> => Promise.resolve();
    await Promise.all(groups.map((group) => bus.subscribe({ group, topics: ['things'], handle })));
    const { rows: connections } = await pool.query(
      `select distinct pid from pg_stat_activity where datname = current_database() and application_name = 'chrysalis-bus'`,
    );
    expect(connections).toHaveLength(1);
    const { rows: locks } = await pool.query(
      `select pid from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`,
    );
    expect(locks).toHaveLength(8 * 6);
  } finally {
    await bus.close();
    await db.drop();
  }
});
