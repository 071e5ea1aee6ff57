import { expect, test } from '@jest/globals';
import { temporaryDatabase } from '@chrysalis/testing';
import pg from 'pg';
import { noVmLockedByFinishedActions } from './verify.ts';

test('a VM whose action has an ended workflow and no end of its own is named, and no other', async () => {
  const temporary = await temporaryDatabase();
  const db = new pg.Client({ connectionString: temporary.connectionString });
  await db.connect();
  const say = (schema: string, stream: string, type: string, data: object): Promise<unknown> =>
    db.query(`insert into ${schema}.events values ($1, $2, $3)`, [stream, `chrysalis.${type}.v1`, data]);
  const asked = (vm: string, workflowId: string) =>
    say('provisioning', vm, 'provisioning.vm.action-requested', { action: 'stop', request: { workflowId } });
  try {
    for (const s of ['provisioning', 'workflow'])
      await db.query(`create schema ${s}; create table ${s}.events (stream_id text, type text, data jsonb)`);
    await asked('vm-done', 'op-1');
    await say('provisioning', 'vm-done', 'provisioning.vm.action-ended', { workflowId: 'op-1' });
    await asked('vm-under-way', 'op-2');
    await asked('vm-left', 'op-3');
    for (const op of ['op-1', 'op-3']) await say('workflow', `workflow-${op}`, 'workflow.instance.ended', { state: 'failed' });
    expect(await noVmLockedByFinishedActions(db)).toEqual(['I7: workflow-op-3 ended and vm-left is locked by its stop']);
  } finally {
    await db.end();
    await temporary.drop();
  }
});
