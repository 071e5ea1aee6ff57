import type { TemporaryDatabase } from '@chrysalis/testing';
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
