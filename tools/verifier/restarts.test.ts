import { expect, test } from '@jest/globals';
import { temporaryDatabase } from '@chrysalis/testing';
import pg from 'pg';
import { restartsHaveTimers, startsArePlanned } from './restarts.ts';

test('a start that was not planned, a plan without a timer, and a VM that is off and forgotten are named, and no other', async () => {
  const temporary = await temporaryDatabase();
  const db = new pg.Client({ connectionString: temporary.connectionString });
  await db.connect();
  const versions = new Map<string, number>();
  const say = async (schema: string, stream: string, type: string, data: object, at = '2026-01-01T00:00:00Z'): Promise<void> => {
    const version = (versions.get(stream) ?? 0) + 1;
    versions.set(stream, version);
    await db.query(`insert into ${schema}.events values ($1, $2, $3, $4, $5)`, [stream, version, `chrysalis.${type}.v1`, data, { at }]);
  };
  const vm = (id: string, type: string, data: object = {}) => say('provisioning', id, `provisioning.vm.${type}`, data);
  const booted = async (id: string): Promise<void> => {
    await vm(id, 'requested', { restart: 'on-failure' });
    await vm(id, 'placed', { hostId: 'a' });
    await vm(id, 'booted', { at: '2026-01-01T00:00:00Z' });
  };
  const timer = (id: string, at: string | null) => db.query('insert into provisioning.sightings values ($1, $2)', [id, at]);
  const gone = { state: 'gone', since: '2026-01-01T00:01:00Z' };
  try {
    for (const s of ['provisioning', 'agent_gateway'])
      await db.query(`create schema ${s}; create table ${s}.events (stream_id text, version int, type text, data jsonb, meta jsonb)`);
    await db.query('create table provisioning.sightings (vm text, look_at timestamptz)');
    for (const id of ['vm-good', 'vm-twice', 'vm-lost', 'vm-off', 'vm-waits']) await booted(id);
    for (const id of ['vm-good', 'vm-twice', 'vm-lost']) await vm(id, 'restart-planned', { attempt: 1 });
    for (const id of ['vm-good', 'vm-twice', 'vm-twice']) await vm(id, 'action-requested', { restart: { attempt: 1 } });
    for (const id of ['vm-off', 'vm-waits'])
      await say(
        'agent_gateway',
        `observed-${id}`,
        'agent-gateway.vm.observed',
        { vmId: id, hostId: 'a', observed: gone },
        '2026-01-01T00:01:01Z',
      );
    await timer('vm-off', null);
    await timer('vm-waits', '2026-01-01T00:01:02Z');
    expect(await startsArePlanned(db)).toEqual(['I7: vm-twice was started by its policy at version 6, and that was not planned']);
    expect(await restartsHaveTimers(db)).toEqual([
      'I7: vm-lost is to be started, and no timer looks at it',
      'I7: vm-off is off, and no timer looks at it',
    ]);
  } finally {
    await db.end();
    await temporary.drop();
  }
});
