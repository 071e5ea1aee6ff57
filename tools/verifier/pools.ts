import type pg from 'pg';

type Disk = { volume: string; pool: string; sizeMiB: number; readOnly: boolean };
type Told = {
  stream: string;
  type: string;
  data: {
    consumer?: { kind: string; id: string };
    moveId?: string;
    vmId?: string;
    sizeMiB?: number;
    heldMiB?: number;
    topology?: { disks: Disk[] };
  };
};
const verbOf = (type: string): string => type.replace(/^chrysalis\.[a-z-]+\.[a-z-]+\./, '').replace(/\.v\d+$/, '');
const told = async (db: pg.ClientBase, schema: string, streams: string): Promise<Told[]> =>
  (
    await db.query<Told>(
      `select stream_id as stream, type, data from ${schema}.events where stream_id like $1 order by stream_id, version`,
      [streams],
    )
  ).rows;

type Held = { of: Map<string, number>; said: number };
/** By the pools' own events: who holds what in each, and what was said last of the sum. */
const heldIn = async (db: pg.ClientBase): Promise<Map<string, Held>> => {
  const pools = new Map<string, Held>();
  for (const { stream, type, data } of await told(db, 'resource_allocation', 'pool-%')) {
    const pool = pools.get(stream) ?? { of: new Map<string, number>(), said: 0 };
    pools.set(stream, pool);
    const { consumer, moveId, vmId, sizeMiB = 0, heldMiB } = data;
    const verb = verbOf(type);
    if (verb === 'room-held') pool.of.set(`${consumer!.kind}:${consumer!.id}`, sizeMiB);
    if (verb === 'room-released') pool.of.delete(`${consumer!.kind}:${consumer!.id}`);
    if (verb === 'room-swapped') {
      pool.of.delete(`move:${moveId}`);
      pool.of.set(`vm:${vmId}`, sizeMiB);
    }
    if (heldMiB !== undefined) pool.said = heldMiB;
  }
  return pools;
};

/** The rows are what the events say, and so is the sum that each event tells. */
export const poolsAreWhatTheirEventsSay = async (db: pg.ClientBase): Promise<string[]> => {
  const pools = await heldIn(db);
  const { rows } = await db.query<{ text: string }>(
    `select concat_ws(' ', pool, consumer, size_mib) as text from resource_allocation.pool_holds`,
  );
  const { rows: sums } = await db.query<{ pool: string; held: string }>('select pool, held_mib as held from resource_allocation.pools');
  const expected = [...pools].flatMap(([pool, { of }]) => [...of].map(([c, mib]) => `${pool} ${c} ${mib}`)).sort();
  const observed = rows.map((r) => r.text).sort();
  const faults =
    JSON.stringify(expected) === JSON.stringify(observed)
      ? []
      : [`I6: holds in pools are not what the events say: ${JSON.stringify({ expected, observed })}`];
  for (const [pool, { of, said }] of pools) {
    const sum = [...of.values()].reduce((n, mib) => n + mib, 0);
    const row = Number(sums.find((s) => s.pool === pool)?.held);
    if (sum !== said || sum !== row) faults.push(`I6: ${sum} MiB are held in ${pool}; its last event says ${said}, its row ${row}`);
  }
  return faults;
};

type There = { sizes: Map<string, number>; gone: Set<string>; busy: Set<string> };

const hear = (t: There, asked: Map<string, number>, { stream, type, data }: Told): void => {
  const [of, verb] = [`volume:${stream}`, verbOf(type)];
  if (verb === 'requested') asked.set(of, data.sizeMiB ?? 0);
  if (verb === 'created') t.sizes.set(of, asked.get(of) ?? 0);
  if (verb === 'grown') t.sizes.set(of, data.sizeMiB ?? 0);
  if (verb === 'creation-failed') t.sizes.delete(of);
  note(t, of, verb);
};
const hearOfVm = (t: There, { stream, type, data }: Told): void => {
  const own = data.topology?.disks.filter((d) => !d.readOnly && !d.volume.startsWith('volume-'));
  if (own) t.sizes.set(`vm:${stream}`, own.reduce((sum, d) => sum + d.sizeMiB, 0)); // prettier-ignore
  note(t, `vm:${stream}`, verbOf(type));
};
const note = ({ gone, busy }: There, of: string, verb: string): void => {
  if (['grow-requested', 'deletion-requested', 'move-begun'].includes(verb)) busy.add(of);
  if (['grown', 'action-failed', 'deletion-failed', 'move-ended'].includes(verb)) busy.delete(of);
  if (verb === 'deleted') gone.add(of);
};

/** What is there by the streams of volumes and VMs, in MiB; `gone`, of what is over. What is under way is left out. */
const there = async (db: pg.ClientBase): Promise<{ sizes: Map<string, number>; gone: Set<string> }> => {
  const t: There = { sizes: new Map(), gone: new Set(), busy: new Set() };
  const asked = new Map<string, number>();
  for (const one of await told(db, 'provisioning', 'volume-%')) hear(t, asked, one);
  for (const one of await told(db, 'provisioning', 'vm-%')) hearOfVm(t, one);
  const { rows } = await db.query<{ id: string }>(
    `select id from (select distinct on (data->>'moveId') data->>'moveId' as id, type from migration_templates.events
     where type ~ '^chrysalis\\.migration-templates\\.move\\.(ended|resumed)\\.v' order by data->>'moveId', global_position desc) latest
     where type like '%.ended.v%'`,
  );
  for (const { id } of rows) t.gone.add(`move:${id}`);
  for (const of of [...t.busy, ...t.gone]) t.sizes.delete(of);
  return t;
};

/** Nothing is held for what is gone, and for what is there as much as it has: where its pool is held at all, which it is not of agents of before. */
export const poolsHoldWhatIsThere = async (db: pg.ClientBase): Promise<string[]> => {
  const { sizes, gone } = await there(db);
  const faults: string[] = [];
  const held = new Map<string, { pool: string; mib: number }[]>();
  for (const [pool, { of }] of await heldIn(db))
    for (const [consumer, mib] of of) held.set(consumer, [...(held.get(consumer) ?? []), { pool, mib }]);
  for (const [consumer, holds] of held) {
    if (gone.has(consumer)) faults.push(...holds.map(({ pool, mib }) => `I7: ${consumer} is gone and holds ${mib} MiB in ${pool}`));
    // One that went from one pool to another holds in both where the first was not given back.
    const [has, mib] = [sizes.get(consumer), holds.reduce((sum, h) => sum + h.mib, 0)];
    const pools = holds.map((h) => h.pool).join(' and ');
    if (has !== undefined && has !== mib) faults.push(`I6: ${consumer} has ${has} MiB and holds ${mib} in ${pools}`);
  }
  return faults;
};
