import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { provisioningEvents, type DataOf } from '@chrysalis/contracts';
import { upcasters } from '@chrysalis/event-store';
import { Poison, requestRedrive } from '@chrysalis/messaging';
import { serviceConfig, temporaryDatabase, until, type TemporaryDatabase } from '@chrysalis/testing';
import { Consumer, OnEvent, type EventContext } from './handlers.ts';
import { startService, type RunningService } from '../service.ts';
import { newSigningKey } from '../access/tokens.ts';

const { vmDeleted } = provisioningEvents;
const OLD = 'chrysalis.provisioning.vm.deleted.v0';
const NEW = vmDeleted.type;
const { upcast } = upcasters().add('chrysalis.provisioning.vm.deleted', 0, ({ data }) => ({
  type: NEW,
  data: { vmId: `vm-${(data as { size: number }).size}` },
}));
const heard: unknown[] = [];
const refuse = { on: false };

@Consumer('things')
class Things {
  @OnEvent(vmDeleted)
  async gone(data: DataOf<typeof vmDeleted>, { event: { type } }: EventContext): Promise<void> {
    if (refuse.on) throw new Poison('not now');
    heard.push({ type, data });
  }
}

describe('an event of an older version', () => {
  let database: TemporaryDatabase;
  let running: RunningService;
  const make = (name: string, size: number): Promise<unknown> =>
    running.service.store.append({
      stream: `thing-${name}`,
      expected: 'noStream',
      events: [
        {
          id: running.service.newId('e').slice(2),
          type: OLD,
          data: { size },
          meta: { at: running.service.clock(), correlationId: 'c', actor: 'test', tenant: 'acme' },
        },
      ],
    });

  beforeAll(async () => {
    database = await temporaryDatabase();
    running = await startService(serviceConfig(database, await newSigningKey(), 4), {
      context: 'provisioning',
      schema: 'provisioning',
      upcast,
      handlers: [Things],
    });
  });
  afterAll(async () => {
    await running?.stop();
    await database?.drop();
  });

  test('is the newest one to whoever reads or hears it; what is stored stays', async () => {
    await make('one', 1);
    expect((await running.service.store.read('thing-one')).map((e) => e.type)).toEqual([NEW]);
    expect(await until(async () => heard.length > 0 && heard)).toEqual([{ type: NEW, data: { vmId: 'vm-1' } }]);
    const stored = await running.service.pool.query<{ type: string }>(`select type from provisioning.events`);
    expect(stored.rows).toEqual([{ type: OLD }]);
  });

  test('also where it was parked by a release that did not know the new one', async () => {
    refuse.on = true;
    await make('two', 2);
    const parked = `select event_id from provisioning.parked`;
    await until(async () => (await running.service.pool.query(parked)).rowCount === 1);
    const old = JSON.stringify({ type: OLD, data: { size: 2 } });
    await running.service.pool.query('update provisioning.parked set event = (event::jsonb || $1::jsonb)::json', [old]);
    refuse.on = false;
    await requestRedrive(running.service.store, { consumer: 'provisioning.things' });
    expect(await until(async () => heard[1] as object | undefined)).toEqual({ type: NEW, data: { vmId: 'vm-2' } });
  });
});

describe('the role of a running service', () => {
  test('adds events, and neither changes one nor makes tables', async () => {
    const database = await temporaryDatabase();
    const running = await startService(serviceConfig(database, await newSigningKey(), 2), {
      context: 'provisioning',
      schema: 'provisioning',
    });
    try {
      const { pool } = running.service;
      expect((await pool.query(`select current_user as name`)).rows).toEqual([{ name: 'chrysalis_app' }]);
      for (const sql of [
        `update provisioning.events set type = 'x'`,
        'delete from provisioning.events',
        'create table provisioning.more (id int)',
        'drop table provisioning.events',
        'delete from provisioning.schema_migrations',
      ])
        await expect(pool.query(sql)).rejects.toMatchObject({ code: '42501' });
    } finally {
      await running.stop();
      await database.drop();
    }
  });
});
