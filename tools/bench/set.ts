import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Made } from './provision/client.ts';
import { Ground } from './provision/ground.ts';
import { HOSTS, hostIds, IMAGE, TYPE } from './provision/shape.ts';
import { contender, median, report, target, type BenchOptions, type Report } from './report.ts';
import { capsOf, type Caps, type Told } from './set/caps.ts';

/** VMs of a set: of one that fits under the limit, and of one that is ten times that. */
const levels = (process.env['CHRYSALIS_BENCH_SET'] ?? '100,1000').split(',').map(Number);
/** Moves at once: of the set, and of each host. */
const LIMIT = 100;
const PER_SOURCE = 20;
const PER_TARGET = 20;
/** A host has room for so many, and one is filled before the next: more than may be under way into it, so that its limit is met. */
const ROOM = 24;
/** Half of the hosts are drained to the other half, and back in the next round. */
const SIDE = HOSTS / 2;
const IN_FLIGHT = 64;
const LATE_MS = 900_000;

const about =
  `Sets of VMs moved from ${SIDE} simulated hosts to ${SIDE} others and back, by one migration through the admin API, from the request of ` +
  `the plan to the end in its log: ${LIMIT} moves at once, ${PER_SOURCE} out of each host, ${PER_TARGET} into each, which has room for ${ROOM}. The hosts' agents share one process; a ` +
  'VM has 512 MiB, which takes about half a second. Cost is CPU time of the control plane and PostgreSQL for a move. Caps are counted from ' +
  'the events of the log in their order, not from the scheduler.';

type Round = {
  readonly perSecond: number;
  readonly cpuMs: number;
  readonly postgresMs: number;
  readonly planMs: number;
  readonly caps: Caps;
};

/** Whether a thousand moves in one migration cost each what a hundred do, and none of its limits is passed. */
export const bench = async ({ rounds, progress }: BenchOptions): Promise<Report> => {
  process.env['CHRYSALIS_LOG'] ??= 'error';
  const ground = await Ground.open({ vmsAHost: ROOM });
  const measured = new Map<number, Round[]>(levels.map((level) => [level, []]));
  let faults: string[];
  const { version } = ground.ready;
  try {
    const vms = await filled(ground, Math.max(...levels), progress);
    for (let round = 1; round <= rounds; round++)
      for (const level of levels) measured.get(level)!.push(await thereAndBack(ground, vms.slice(0, level), round, progress));
    await ground.settled();
    faults = await ground.faults(vms);
    for (const fault of faults) progress(`FAULT: ${fault}`);
  } finally {
    await ground.close();
  }
  return conclude(measured, rounds, faults, `PostgreSQL ${version}`);
};

/** What the way there took; then back, so that each begins with all VMs in the first half. */
const thereAndBack = async (ground: Ground, vms: readonly Made[], round: number, progress: BenchOptions['progress']): Promise<Round> => {
  await onlyTo(ground, 1);
  const there = await moved(ground, vms);
  progress(`round ${round}, ${vms.length} VMs there: ${told(there)}`);
  await onlyTo(ground, 0);
  progress(`round ${round}, ${vms.length} VMs back: ${told(await moved(ground, vms))}`);
  return there;
};

/** The same number on each host of the first half. */
const filled = async ({ client }: Ground, count: number, progress: BenchOptions['progress']): Promise<Made[]> => {
  const vms: Made[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const n = next++;
      const body = { name: `set-${n}`, type: TYPE, image: IMAGE, host: hostIds[n % SIDE] };
      const made = await client.send<Made>('POST', '/v1/vms', body);
      vms[n] = made;
      await client.heard('chrysalis.provisioning.vm.booted.v1', made.vmId);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  progress(`${count} VMs on ${SIDE} hosts`);
  return vms;
};

/** VMs go to the one half alone: the other takes nothing new. */
const onlyTo = async ({ client }: Ground, side: number): Promise<void> => {
  for (const [i, id] of hostIds.entries())
    await client.send('POST', `/v1/hosts/${id}/state`, { state: Math.floor(i / SIDE) === side ? 'enabled' : 'cordoned', reason: 'bench' });
  await sleep(1_000);
};

const moved = async (ground: Ground, vms: readonly Made[]): Promise<Round> => {
  const { client } = ground;
  await ground.settled();
  const before = await ground.used();
  const began = performance.now();
  const plan = await client.send<{ planId: string }>('POST', '/v1/migration-plans', {
    option: `${TYPE}@1/move/pre-copy/expose`,
    vmIds: vms.map((v) => v.vmId),
  });
  const planMs = performance.now() - began;
  const policy = { limits: { perSource: PER_SOURCE, perTarget: PER_TARGET, fleet: LIMIT } };
  const { migrationId } = await client.send<{ migrationId: string }>('POST', '/v1/migrations', {
    ...{ planId: plan.planId, concurrency: LIMIT, policy },
  });
  const end = await ended(ground.ready.databaseUrl, migrationId);
  const ms = performance.now() - began;
  if (end.state !== 'succeeded') throw new Error(`the set ended as ${end.state}: ${JSON.stringify(end.cause)}`);
  const after = await ground.used();
  const each = (what: 'plane' | 'postgres'): number => ((after[what] - before[what]) * 1_000) / vms.length;
  return {
    perSecond: (vms.length * 1_000) / ms,
    cpuMs: each('plane') + each('postgres'),
    postgresMs: each('postgres'),
    planMs,
    caps: capsOf(await eventsOf(ground.ready.databaseUrl, migrationId)),
  };
};

type End = { readonly state: string; readonly cause?: object };
/** By the log: to ask for the operation of a set reads the workflows of all of its moves, which would be most of what is measured. */
const ended = async (connectionString: string, id: string): Promise<End> => {
  for (const until = Date.now() + LATE_MS; Date.now() < until; await sleep(200)) {
    const end = (await eventsOf(connectionString, id, 'chrysalis.migration-templates.migration.ended.v1'))[0];
    if (end) return end.data as End;
  }
  throw new Error(`${id} has not ended within ${LATE_MS / 1_000} s`);
};

/** Of one migration, in their order; of one type where it is named. */
const eventsOf = async (connectionString: string, migrationId: string, type?: string): Promise<Told[]> => {
  const db = new pg.Client({ connectionString });
  await db.connect();
  try {
    const { rows } = await db.query<Told>(
      `select type, data from migration_templates.events
       where stream_id = $1 and ($2::text is null or type = $2) order by global_position`,
      [`migration-${migrationId}`, type ?? null],
    );
    return rows;
  } finally {
    await db.end();
  }
};

const told = (r: Round): string =>
  `${r.perSecond.toFixed(1)} moves/s, ${r.cpuMs.toFixed(1)} ms of CPU a move (${r.postgresMs.toFixed(1)} PostgreSQL), plan ${r.planMs.toFixed(0)} ms, ` +
  `at once ${r.caps.atOnce}, out of a host ${r.caps.perSource}, into one ${r.caps.perTarget}`;

const conclude = (measured: ReadonlyMap<number, Round[]>, rounds: number, faults: readonly string[], database: string): Report => {
  const line = (what: string, unit: string, value: (r: Round) => number) =>
    levels.map((level) => contender(`${what}, a set of ${level}`, 'Chrysalis', unit, measured.get(level)!.map(value)));
  const of = (level: number, value: (r: Round) => number): number => median(measured.get(level)!.map(value));
  const most = (value: (c: Caps) => number): number => Math.max(...[...measured.values()].flat().map((r) => value(r.caps)));
  const [few, many] = levels;
  const growth =
    many === undefined
      ? []
      : [target(`CPU time a move, ${many} over ${few}`, of(many, (r) => r.cpuMs) / of(few!, (r) => r.cpuMs), '<=', 1.3)];
  return report(
    'set',
    rounds,
    { database },
    [
      ...line('throughput', 'moves/s', (r) => r.perSecond),
      ...line('CPU time a move', 'ms', (r) => r.cpuMs),
      ...line('of it PostgreSQL', 'ms', (r) => r.postgresMs),
      ...line('its plan', 'ms', (r) => r.planMs),
    ],
    [
      target('moves at once, by the log', most((c) => c.atOnce), '<=', LIMIT), // prettier-ignore
      target('out of one host at once', most((c) => c.perSource), '<=', PER_SOURCE), // prettier-ignore
      target('into one host at once', most((c) => c.perTarget), '<=', PER_TARGET), // prettier-ignore
      target('moves of a VM that is in two states, or in none', most((c) => c.torn), '<=', 0), // prettier-ignore
      ...growth,
      target('VMs lost, doubled or left held, and invariants broken', faults.length, '<=', 0),
    ],
    { about, faults },
  );
};
