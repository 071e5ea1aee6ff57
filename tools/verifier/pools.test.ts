import { expect, test } from '@jest/globals';
import { temporaryDatabase } from '@chrysalis/testing';
import pg from 'pg';
import { poolsAreWhatTheirEventsSay, poolsHoldWhatIsThere } from './pools.ts';

test('what is held of a pool for what is gone, or is not what is there, and rows that are not what events say are named, and nothing else', async () => {
  const temporary = await temporaryDatabase();
  const db = new pg.Client({ connectionString: temporary.connectionString });
  await db.connect();
  let version = 0;
  const say = (stream: string, type: string, data: object, schema = 'provisioning'): Promise<unknown> =>
    db.query(`insert into ${schema}.events values ($1, $2, $3, $4, $2)`, [stream, ++version, `chrysalis.${type}.v1`, data]);
  const held = (kind: string, id: string, sizeMiB: number, heldMiB: number) =>
    say('pool-1', 'resource-allocation.pool.room-held', { consumer: { kind, id }, sizeMiB, heldMiB }, 'resource_allocation');
  try {
    for (const s of ['provisioning', 'resource_allocation', 'migration_templates'])
      await db.query(
        `create schema ${s}; create table ${s}.events (stream_id text, version int, type text, data jsonb, global_position int)`,
      );
    await db.query(`create table resource_allocation.pools (pool text, held_mib bigint);
      create table resource_allocation.pool_holds (pool text, consumer text, size_mib bigint)`);
    await say('volume-1', 'provisioning.volume.requested', { sizeMiB: 64 });
    await say('volume-1', 'provisioning.volume.created', {});
    const disks = [
      { volume: 'vm-1-data.qcow2', pool: 'shared', sizeMiB: 128, readOnly: false },
      { volume: 'volume-1.qcow2', pool: 'shared', sizeMiB: 64, readOnly: false },
      { volume: 'seed.raw', pool: 'shared', sizeMiB: 1, readOnly: true },
    ];
    await say('vm-1', 'provisioning.vm.booted', { topology: { disks } });
    await held('volume', 'volume-1', 64, 64);
    await held('vm', 'vm-1', 128, 192);
    await db.query(`insert into resource_allocation.pools values ('pool-1', 192);
      insert into resource_allocation.pool_holds values ('pool-1', 'volume:volume-1', 64), ('pool-1', 'vm:vm-1', 128)`);
    expect([...(await poolsAreWhatTheirEventsSay(db)), ...(await poolsHoldWhatIsThere(db))]).toEqual([]);

    await held('volume', 'volume-1', 32, 160);
    await say('vm-1', 'provisioning.vm.deleted', {});
    await held('move', 'mov-1', 8, 168);
    await say('move-1', 'migration-templates.move.ended', { moveId: 'mov-1' }, 'migration_templates');
    expect(await poolsHoldWhatIsThere(db)).toEqual([
      'I6: volume:volume-1 has 64 MiB and holds 32 in pool-1',
      'I7: vm:vm-1 is gone and holds 128 MiB in pool-1',
      'I7: move:mov-1 is gone and holds 8 MiB in pool-1',
    ]);
    const [rows, sum] = await poolsAreWhatTheirEventsSay(db);
    expect(rows).toMatch('I6: holds in pools are not what the events say');
    expect(sum).toBe('I6: 168 MiB are held in pool-1; its last event says 168, its row 192');
  } finally {
    await db.end();
    await temporary.drop();
  }
});
