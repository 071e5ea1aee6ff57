import { expect, test } from '@jest/globals';
import { temporaryDatabase, type TemporaryDatabase } from '@chrysalis/testing';
import { createBus, type EventBus } from '../index.ts';
import { busContract } from './contract/contract.ts';
import type { Harness } from './contract/rig.ts';
import { cloudEvent, numberOf, until, upTo } from './support.ts';

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

test('who stays while the bus is made anew reads the new one from its beginning, though it is shorter, and keeps no old place in it', async () => {
  const db = await temporaryDatabase();
  const pool = db.pool({ max: 20 });
  // Another membership is another process: that one makes the bus anew, and nobody tells the reader.
  const open = (n: number): EventBus =>
    createBus({ kind: 'embedded', pool, connectionString: `${db.connectionString}?application_name=member-${n}` });
  const [reading, publishing] = [open(1), open(2)];
  const topics = [{ name: 'things', partitions: 1 }];
  const publish = (bus: EventBus, from: number, to: number): Promise<void> =>
    bus.publish(upTo(to, from).map((n) => ({ topic: 'things', event: cloudEvent('k', n) })));
  const place = async (): Promise<number | undefined> => {
    const { rows } = await pool.query<{ next_offset: string }>(`select next_offset from bus.offsets where consumer_group = 'g'`);
    return rows[0] && Number(rows[0].next_offset);
  };
  try {
    await reading.ensureTopics(topics);
    const seen: number[] = [];
    const subscription = await reading.subscribe({
      group: 'g',
      topics: ['things'],
      handle: async (es) => void seen.push(...es.map(numberOf)),
    });
    await publish(reading, 1, 30);
    await until('the old bus is read', async () => (await place()) === 30);
    await pool.query('drop schema bus cascade');
    const anew = open(3);
    await anew.ensureTopics(topics);
    await publish(anew, 101, 110);
    await until('the new one is read', () => seen.includes(110));
    await until('and its place kept', async () => (await place()) === 10);
    await publish(reading, 111, 112);
    await publish(publishing, 113, 140);
    await until('and what follows', () => seen.includes(140));
    expect(seen).toEqual([...upTo(30), ...upTo(140, 101)]);
    await until('health is well', () => subscription.health().ok);
    await anew.close();
  } finally {
    await Promise.all([reading.close(), publishing.close()]);
    await db.drop();
  }
});
