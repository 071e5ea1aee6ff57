import { expect, test } from '@jest/globals';
import { temporaryDatabase } from '@chrysalis/testing';
import pg from 'pg';
import { auditsRemoveOrphansAlone } from './audits.ts';

test('an audit that took from a host what was there, was coming, or was never heard of is named, and no other', async () => {
  const temporary = await temporaryDatabase();
  const db = new pg.Client({ connectionString: temporary.connectionString });
  await db.connect();
  let version = 0;
  const say = (schema: string, stream: string, type: string, data: object) =>
    db.query(`insert into ${schema}.events values ($1, $2, $3, $4, $5)`, [stream, ++version, `chrysalis.${type}.v1`, data, { at: new Date(version * 1_000).toISOString() }]); // prettier-ignore
  const vm = (id: string, type: string, data: object = {}) => say('provisioning', id, `provisioning.vm.${type}`, data);
  const removal = (vmId: string, host: string) =>
    say('workflow', `workflow-${vmId}`, 'workflow.task.dispatched', {
      kind: 'host.remove-vm-traces',
      executor: `host:${host}`,
      input: { vmId },
    });
  try {
    for (const s of ['provisioning', 'workflow'])
      await db.query(`create schema ${s}; create table ${s}.events (stream_id text, version int, type text, data jsonb, meta jsonb)`);
    for (const id of ['vm-deleted', 'vm-failed', 'vm-here', 'vm-moved', 'vm-coming', 'vm-undone', 'vm-late'])
      await vm(id, 'placed', { hostId: 'a' });
    await vm('vm-deleted', 'deleted');
    await vm('vm-failed', 'provisioning-failed');
    await vm('vm-moved', 'switched-over', { fromHost: 'a', toHost: 'b' });
    await vm('vm-coming', 'switched-over', { fromHost: 'a', toHost: 'b' });
    await vm('vm-coming', 'move-begun', { fromHost: 'b', toHost: 'a' });
    await vm('vm-undone', 'switched-over', { fromHost: 'a', toHost: 'b' });
    await vm('vm-undone', 'move-begun', { fromHost: 'b', toHost: 'a' });
    await vm('vm-undone', 'move-ended');
    for (const id of ['vm-deleted', 'vm-failed', 'vm-here', 'vm-moved', 'vm-coming', 'vm-undone', 'vm-late', 'vm-stranger'])
      await removal(id, 'a');
    await vm('vm-late', 'deleted'); // after it was removed
    const named = (id: string): string => `I7: an audit of a was told to take ${id} from there, which was to be there`;
    expect(await auditsRemoveOrphansAlone(db)).toEqual(['vm-coming', 'vm-here', 'vm-late', 'vm-stranger'].map(named));
  } finally {
    await db.end();
    await temporary.drop();
  }
});
