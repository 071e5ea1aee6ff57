import { createServer } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { temporaryDatabase } from '@chrysalis/testing';
import pg from 'pg';
import { hostsHoldWhatVolumesSay, noVmLockedByFinishedChanges, volumesHaveOneVm } from './volumes.ts';

const id = (n: number): string => `volume-0199c0de-0000-7000-8000-00000000000${n}`;

test('a volume that is two VMs’, that its VM has not, or has and should not, and a VM that is left locked are named, and no other', async () => {
  const temporary = await temporaryDatabase();
  const dir = mkdtempSync(join(tmpdir(), 'verifier-'));
  const db = new pg.Client({ connectionString: temporary.connectionString });
  await db.connect();
  let version = 0;
  const say = (stream: string, type: string, data: object, schema = 'provisioning'): Promise<unknown> =>
    db.query(`insert into ${schema}.events values ($1, $2, $3, $4)`, [stream, ++version, `chrysalis.${type}.v1`, data]);
  const volume = (n: number, verb: string, vmId?: string) => say(id(n), `provisioning.volume.${verb}`, { vmId });
  const hardware = (vm: string, ...of: number[]) =>
    say(vm, 'provisioning.vm.change-ended', { workflowId: 'op-1', topology: { disks: of.map((n) => ({ volume: `${id(n)}.qcow2` })) } });
  try {
    for (const s of ['provisioning', 'workflow'])
      await db.query(`create schema ${s}; create table ${s}.events (stream_id text, version int, type text, data jsonb)`);
    for (const verb of ['attached', 'detached', 'attached']) await volume(1, verb, 'vm-a');
    await hardware('vm-a', 1);
    await volume(2, 'attach-requested', 'vm-b'); // under way: the hardware may say either
    await hardware('vm-b', 2);
    expect(await volumesHaveOneVm(db)).toEqual([]);
    await volume(1, 'attached', 'vm-b');
    await volume(3, 'attached', 'vm-a');
    await volume(3, 'deletion-requested');
    await volume(4, 'detached', 'vm-c');
    await hardware('vm-c', 4);
    expect(await volumesHaveOneVm(db)).toEqual([
      `I6: ${id(1)} was attached to vm-b while vm-a had it`,
      `I6: ${id(3)} was deleted while vm-a had it`,
      `I6: vm-a has ${id(1)} in its hardware, which is vm-b’s`,
      `I6: vm-c has ${id(4)} in its hardware, which is nobody’s`,
      `I6: ${id(1)} is vm-b’s, and not in its hardware`,
      `I6: ${id(3)} is vm-a’s, and not in its hardware`,
    ]);

    for (const op of ['op-1', 'op-2']) await say('vm-a', 'provisioning.vm.change-begun', { change: 'attach-volume', workflowId: op });
    for (const op of ['op-1', 'op-2']) await say(`workflow-${op}`, 'workflow.instance.ended', { state: 'undone' }, 'workflow');
    expect(await noVmLockedByFinishedChanges(db)).toEqual(['I7: workflow-op-2 ended and vm-a is locked by its attach-volume']);

    const monitors = await Promise.all([[1, 4], [1]].map((open, i) => monitor(join(dir, `qmp-${i}`), open)));
    expect(await hostsHoldWhatVolumesSay(db, [...monitors.map((m) => m.path), join(dir, 'nobody')])).toEqual([
      `I1: 2 QEMUs have ${id(1)} open`,
      `I6: a QEMU has ${id(4)} open, which is nobody’s`,
    ]);
    for (const m of monitors) m.close();
  } finally {
    await db.end();
    await temporary.drop();
    rmSync(dir, { recursive: true });
  }
});

/** Says what QEMU says of its block nodes: each file twice, as it is the file of a node and of the one on it. */
const monitor = async (path: string, open: readonly number[]) => {
  const nodes = open.flatMap((n) => [1, 2].map(() => ({ image: { filename: `/pool/${id(n)}.qcow2` } })));
  const server = createServer((socket) => {
    socket.write('{"QMP": {}}\n');
    socket.on('data', () => socket.write(`{"return": {}}\n${JSON.stringify({ return: nodes, id: 'nodes' })}\n`));
    socket.on('error', () => undefined);
  });
  await new Promise<void>((up) => server.listen(path, up));
  return { path, close: () => server.close() };
};
