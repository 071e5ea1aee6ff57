import { createConnection } from 'node:net';
import type pg from 'pg';

/** By their own streams: the VM that each volume has in the end, and what is under way with it. */
type Held = { vm: string | undefined; busy: boolean };
type Told = { stream: string; type: string; data: { vmId?: string; left?: boolean; topology?: { disks: { volume: string }[] } } };

const told = async (db: pg.ClientBase, streams: string): Promise<Told[]> =>
  (
    await db.query<Told>(
      `select stream_id as stream, type, data from provisioning.events where stream_id like $1 order by stream_id, version`,
      [streams],
    )
  ).rows;
const verbOf = (type: string): string => type.replace(/^chrysalis\.provisioning\.[a-z-]+\./, '').replace(/\.v\d+$/, '');

/** What is wrong with what is told of a volume then. */
const apply = (id: string, volume: Held, verb: string, { vmId, left }: Told['data']): string[] => {
  const had = volume.vm;
  if (/^(attach|detach|grow)-requested$/.test(verb)) volume.busy = true;
  if (['attached', 'detached', 'grown', 'action-failed'].includes(verb)) volume.busy = false;
  if (verb === 'attached' || (verb === 'action-failed' && left)) volume.vm = vmId;
  if (verb === 'detached') volume.vm = undefined;
  if (had === undefined) return [];
  if (verb === 'attached') return [`I6: ${id} was attached to ${vmId} while ${had} had it`];
  return verb === 'deletion-requested' || verb === 'deleted' ? [`I6: ${id} was deleted while ${had} had it`] : [];
};

const held = async (db: pg.ClientBase): Promise<{ volumes: Map<string, Held>; faults: string[] }> => {
  const volumes = new Map<string, Held>();
  const faults: string[] = [];
  for (const { stream, type, data } of await told(db, 'volume-%')) {
    const volume = volumes.get(stream) ?? { vm: undefined, busy: false };
    volumes.set(stream, volume);
    faults.push(...apply(stream, volume, verbOf(type), data));
  }
  return { volumes, faults };
};

/** The volumes in the hardware that each VM has, as was last recorded of it; of one that is gone none. */
const shown = async (db: pg.ClientBase): Promise<Map<string, readonly string[]>> => {
  const hardware = new Map<string, readonly string[]>();
  for (const { stream, type, data } of await told(db, 'vm-%')) {
    if (data.topology) hardware.set(stream, volumesIn(data.topology.disks.map((d) => d.volume)));
    if (['deleted', 'provisioning-failed'].includes(verbOf(type))) hardware.delete(stream);
  }
  return hardware;
};
const volumesIn = (files: readonly string[]): string[] => files.flatMap((f) => /(volume-[0-9a-f-]{36})\.qcow2$/.exec(f)?.[1] ?? []);

/** No volume is two VMs', by its own stream, and what volumes say and what VMs' hardware says is the same. */
export const volumesHaveOneVm = async (db: pg.ClientBase): Promise<string[]> => {
  const { volumes, faults } = await held(db);
  const hardware = await shown(db);
  const settled = (id: string): boolean => volumes.get(id)?.busy === false;
  for (const [vm, ids] of hardware)
    for (const id of ids.filter(settled))
      if (volumes.get(id)!.vm !== vm) faults.push(`I6: ${vm} has ${id} in its hardware, which is ${volumes.get(id)!.vm ?? 'nobody'}’s`);
  for (const [id, { vm }] of volumes)
    if (vm !== undefined && settled(id) && !hardware.get(vm)?.includes(id)) faults.push(`I6: ${id} is ${vm}’s, and not in its hardware`);
  return faults;
};

/** A VM whose hardware is changed is locked until that has ended; the workflow of it owns that end. */
export const noVmLockedByFinishedChanges = async (db: pg.ClientBase): Promise<string[]> => {
  const { rows } = await db.query<{ vm: string; change: string; workflow: string }>(
    `select r.stream_id as vm, r.data->>'change' as change, w.stream_id as workflow
     from provisioning.events r
     join workflow.events w on w.stream_id = 'workflow-' || (r.data->>'workflowId') and w.type ~ '\\.instance\\.ended\\.v[0-9]+$'
     where r.type ~ '\\.vm\\.change-begun\\.v[0-9]+$' and not exists (
       select 1 from provisioning.events e
       where e.stream_id = r.stream_id and e.type ~ '\\.vm\\.change-ended\\.v[0-9]+$' and e.data->>'workflowId' = r.data->>'workflowId')`,
  );
  return rows.map((r) => `I7: ${r.workflow} ended and ${r.vm} is locked by its ${r.change}`);
};

/** What QEMUs have open is what volumes say: each by one at most, and none that is nobody's. */
export const hostsHoldWhatVolumesSay = async (db: pg.ClientBase, monitors: readonly string[]): Promise<string[]> => {
  const { volumes } = await held(db);
  const open = (await Promise.all(monitors.map(openIn))).flat();
  return [...new Set(open)].flatMap((id) => {
    const times = open.filter((other) => other === id).length;
    const { vm, busy } = volumes.get(id) ?? { vm: undefined, busy: false };
    return [
      ...(times > 1 ? [`I1: ${times} QEMUs have ${id} open`] : []),
      ...(vm === undefined && !busy ? [`I6: a QEMU has ${id} open, which is nobody’s`] : []),
    ];
  });
};

/** The volumes that a QEMU has open, over a monitor of its own; none where nobody answers. */
const openIn = (socketPath: string): Promise<string[]> =>
  new Promise((resolve) => {
    const socket = createConnection(socketPath);
    let text = '';
    const end = (): void => {
      socket.destroy();
      resolve([...new Set(volumesIn([...text.matchAll(/"filename": ?"([^"]+)"/g)].map((m) => m[1]!)))]);
    };
    socket.setTimeout(2_000, end);
    socket.on('error', end);
    socket.on('data', (chunk) => {
      text += chunk.toString();
      if (text.includes('"QMP"')) {
        text = '';
        socket.write('{"execute":"qmp_capabilities"}\n{"execute":"query-named-block-nodes","arguments":{"flat":true},"id":"nodes"}\n');
      }
      if (/"id": ?"nodes"/.test(text)) end();
    });
  });
