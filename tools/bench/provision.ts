import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import type { Latencies } from './open-loop.ts';
import { Ground } from './provision/ground.ts';
import { alone, atRate, fill, remove } from './provision/load.ts';
import type { Made } from './provision/client.ts';
import type { Floor } from './provision/floor.ts';
import { storiesOf } from './provision/stories.ts';
import { HOSTS, type Story } from './provision/shape.ts';
import { contender, median, report, target, type BenchOptions, type Contender, type Report } from './report.ts';
import { startChild } from './workflow/child.ts';

const levels = [1_000, 10_000] as const;
/** VMs of a round of throughput, and how many of them are under way at a time. */
const BURST = 400;
const IN_FLIGHT = 64;
/** The same for VMs that are only to be there: the more, the less each costs. */
const FILLING = 256;
/** VMs a second of a round of latency, and for how long. */
const RATE = 40;
const RATE_MS = 6_000;
/** VMs of a round of single ones. */
const ALONE = 50;
const STORIES = 200;

const about =
  `VMs by the admin API, from the request to where the API's readers see them running, on ${HOSTS} simulated hosts whose agents share one ` +
  `process (their state is on a disk in memory; a boot takes 5 ms). Throughput: ${IN_FLIGHT} under way at a time. Latency: an open loop of ${RATE}/s, ` +
  'from when each should have begun. Alone: the next begins up to 100 ms after the one before runs. What a round made is deleted before ' +
  'the next. Cost is CPU time of the control plane and PostgreSQL for a VM of a round of throughput. The floor: the same events, commit ' +
  'by commit, appended to five logs and relayed to one bus in one process, each commit after the one before has arrived.';

type Round = {
  readonly perSecond: number;
  readonly cpuMs: number;
  readonly postgresMs: number;
  readonly events: number;
  readonly commits: number;
  readonly latencies: Latencies;
  readonly alone: readonly number[];
};
type Result = {
  readonly rounds: Map<number, Round[]>;
  readonly floors: readonly Floor[];
  readonly floorAlone: readonly number[];
  readonly faults: readonly string[];
  readonly loads: readonly number[];
};

/** From a request to a running VM: how many a second, how long one takes, and whether that depends on how many there are. */
export const bench = async ({ rounds, progress }: BenchOptions): Promise<Report> => {
  process.env['CHRYSALIS_LOG'] ??= 'error';
  const loads = [loadavg()[0]!];
  const ground = await Ground.open();
  const measured = new Map<number, Round[]>();
  const alive: Made[] = [];
  let version: string;
  let stories: Story[];
  let faults: string[];
  try {
    ({ version } = ground.ready);
    for (const level of levels) {
      alive.push(...(await filled(ground, level - alive.length, progress)));
      const all: Round[] = [];
      measured.set(level, all);
      for (let round = 1; round <= rounds; round++) {
        all.push(await measure(ground, `${level}-${round}`));
        progress(`round ${round} at ${level}: ${told(all.at(-1)!)}`);
      }
    }
    const sample = await fill(ground.client, STORIES, IN_FLIGHT);
    alive.push(...sample);
    await ground.settled();
    stories = await storiesOf(ground.ready.databaseUrl, sample);
    faults = await ground.faults(alive);
    for (const fault of faults) progress(`FAULT: ${fault}`);
    loads.push(loadavg()[0]!);
  } finally {
    await ground.close();
  }
  const floor = await floorOf(stories, rounds, progress);
  return conclude({ rounds: measured, ...floor, faults, loads }, rounds, { database: `PostgreSQL ${version}`, fsync: 'on' });
};

const filled = async ({ client }: Ground, count: number, progress: BenchOptions['progress']): Promise<Made[]> => {
  const began = performance.now();
  const made = await fill(client, count, FILLING);
  progress(`${count} VMs made, ${((count * 1_000) / (performance.now() - began)).toFixed(1)}/s`);
  return made;
};

const measure = async (ground: Ground, name: string): Promise<Round> => {
  const { client, plane } = ground;
  await plane.ask({ profile: 'begin' });
  const before = await ground.used();
  const began = performance.now();
  const burst = await fill(client, BURST, IN_FLIGHT);
  const ms = performance.now() - began;
  const after = await ground.used();
  await plane.ask({ profile: name });
  await remove(client, burst, IN_FLIGHT);
  const open = await atRate(client, RATE, RATE_MS);
  await remove(client, open.vms, IN_FLIGHT);
  const single = await alone(client, ALONE);
  await remove(client, single.vms, IN_FLIGHT);
  const each = (what: keyof typeof before): number => (after[what] - before[what]) / BURST;
  return {
    perSecond: (BURST * 1_000) / ms,
    cpuMs: (each('plane') + each('postgres')) * 1_000,
    postgresMs: each('postgres') * 1_000,
    events: each('events'),
    commits: each('commits'),
    latencies: open.latencies,
    alone: single.ms,
  };
};

const told = (r: Round): string => {
  const { median: p50, p99 } = r.latencies.summary();
  return (
    `${r.perSecond.toFixed(1)} VMs/s, ${r.cpuMs.toFixed(1)} ms of CPU a VM (${r.postgresMs.toFixed(1)} PostgreSQL), ${r.events.toFixed(1)} events and ` +
    `${r.commits.toFixed(1)} commits a VM; at ${RATE}/s p50 ${p50.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms; alone p50 ${quantile(r.alone, 0.5).toFixed(0)} ms, ` +
    `p99 ${quantile(r.alone, 0.99).toFixed(0)} ms`
  );
};

const quantile = (values: readonly number[], q: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)]!;
};

const floorOf = async (
  stories: readonly Story[],
  rounds: number,
  progress: BenchOptions['progress'],
): Promise<Pick<Result, 'floors' | 'floorAlone'>> => {
  const dir = mkdtempSync(path.join(tmpdir(), 'chrysalis-bench-floor-'));
  const storiesFile = path.join(dir, 'stories.json');
  writeFileSync(storiesFile, JSON.stringify(stories));
  const child = await startChild('../provision/floor', { storiesFile });
  try {
    const floors: Floor[] = [];
    const floorAlone: number[] = [];
    await child.ask({ inFlight: IN_FLIGHT, times: 1 }); // warm
    for (let round = 1; round <= rounds; round++) {
      floors.push(await child.ask<Floor>({ inFlight: IN_FLIGHT, times: BURST / STORIES }));
      floorAlone.push(median((await child.ask<Floor>({ inFlight: 1, times: 1 })).ms));
      progress(`round ${round}, floor: ${floors.at(-1)!.perSecond.toFixed(1)} VMs/s, alone p50 ${floorAlone.at(-1)!.toFixed(0)} ms`);
    }
    return { floors, floorAlone };
  } finally {
    await child.close();
    rmSync(dir, { recursive: true, force: true });
  }
};

const conclude = (
  { rounds: measured, floors, floorAlone, faults, loads }: Result,
  rounds: number,
  facts: Record<string, unknown>,
): Report => {
  const line = (what: string, unit: string, value: (round: Round) => number): Contender[] =>
    levels.map((level) => contender(`${what}, ${level} VMs there`, 'Chrysalis', unit, measured.get(level)!.map(value)));
  const of = (level: number, value: (round: Round) => number): number => median(measured.get(level)!.map(value));
  const [few, many] = levels;
  const singles = (level: number): number[] => measured.get(level)!.flatMap((r) => r.alone);
  const floor = median(floors.map((f) => f.perSecond));
  const ratios = measured.get(few)!.map((r) => floor / r.perSecond);
  return report(
    'provision',
    rounds,
    { ...facts, loadAverage: loads },
    [
      ...line(`throughput, ${IN_FLIGHT} under way`, 'VMs/s', (r) => r.perSecond),
      ...line(`p50 at ${RATE}/s`, 'ms', (r) => r.latencies.summary().median),
      ...line(`p99 at ${RATE}/s`, 'ms', (r) => r.latencies.p99()),
      ...line('p50 alone', 'ms', (r) => quantile(r.alone, 0.5)),
      ...line('p99 alone', 'ms', (r) => quantile(r.alone, 0.99)),
      ...line('CPU time a VM', 'ms', (r) => r.cpuMs),
      ...line('of it PostgreSQL', 'ms', (r) => r.postgresMs),
      ...line('events a VM', 'events', (r) => r.events),
      ...line('commits a VM, all of PostgreSQL', 'commits', (r) => r.commits),
      contender(
        `floor: its events appended and relayed, ${IN_FLIGHT} under way`,
        'Chrysalis',
        'VMs/s',
        floors.map((f) => f.perSecond),
      ),
      contender('floor alone, p50', 'Chrysalis', 'ms', floorAlone),
      contender(`floor over throughput, ${few} VMs there`, 'Chrysalis', 'times', ratios),
    ],
    [
      ...levels.map((level) =>
        target(
          `VMs/s, ${level} there`,
          of(level, (r) => r.perSecond),
          '>=',
          60,
        ),
      ),
      ...levels.map((level) => target(`p99 alone, ${level} there, ms`, quantile(singles(level), 0.99), '<=', 250)),
      target('time a VM, 10,000 there over 1,000', of(few, (r) => r.perSecond) / of(many, (r) => r.perSecond), '<=', 1.3),
      target('CPU time a VM, 10,000 there over 1,000', of(many, (r) => r.cpuMs) / of(few, (r) => r.cpuMs), '<=', 1.3),
      target('VMs lost, doubled or left held, and invariants broken', faults.length, '<=', 0),
    ],
    {
      about,
      faults,
      rally: Object.fromEntries(
        levels.map((level) => [`${level} there, ${RATE}/s`, measured.get(level)!.map((r) => r.latencies.summary())]),
      ),
    },
  );
};
