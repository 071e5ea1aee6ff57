import pg from 'pg';
import { startPostgres, type Postgres } from '../../infra/postgres/launcher.ts';
import { contender, median, report, target, type BenchOptions, type Contender, type Report } from './report.ts';
import { cpuSecondsOf } from './workflow/cpu.ts';
import { failover, type Failover } from './workflow/failover.ts';
import { startRestate, type RestateServer } from './workflow/restate-server.ts';
import { start, steps, type Peer } from './workflow/turn.ts';

const inFlight = 32;
const warmMs = 2_000;
/** A round is made of short turns of each contender, so that what else the machine does meets all of them. */
const turns = 4;
const crowdMs = 800;
const singleMs = 300;

/** A contender, and the server that keeps its state. */
type Entrant = { readonly name: string; readonly peer: Peer; readonly serverPid: number };
type Round = { readonly stepsPerSecond: number; readonly p50: number; readonly cpu: number; readonly single: number };

const about =
  'Workflows of 5 steps that do nothing, 32 in flight, counted when they are complete. Chrysalis: the workflow engine of its service on ' +
  'PostgreSQL, its steps executed in the same process, each result a committed event before the next step begins, without HTTP, relay ' +
  'and bus. DBOS: steps are functions in its process, on the same PostgreSQL, connections as many as served it best. Restate: its ' +
  'server with 4 partitions (its default of 24 did half as much here), steps in a process beside it over HTTP/2. All sync to the same disk. CPU is of the process and its server.';

export const bench = async ({ rounds, progress }: BenchOptions): Promise<Report> => {
  const postgres = await startPostgres();
  const restate = await startRestate();
  const entrants: Entrant[] = [];
  try {
    entrants.push(...(await enter(postgres, restate)));
    for (const { peer } of entrants) await peer.turn({ inFlight, ms: warmMs });
    const results = new Map<string, Round[]>(entrants.map(({ name }) => [name, []]));
    for (let round = 1; round <= rounds; round++)
      for (const [{ name }, result] of await takeTurns(entrants)) {
        results.get(name)!.push(result);
        const { stepsPerSecond, p50, single, cpu } = result;
        progress(
          `round ${round}: ${name}: ${Math.round(stepsPerSecond)} steps/s (flow p50 ${p50.toFixed(1)} ms), alone p50 ${single.toFixed(2)} ms, ${cpu.toFixed(2)} CPU s per 1,000 steps`,
        );
      }
    const failovers: Failover[] = [];
    for (let round = 1; round <= rounds; round++) {
      failovers.push(await failover(await newDatabase(postgres, `failover_${round}`)));
      const { open, firstStepMs, lastFlowMs, flows, lost, doubled } = failovers.at(-1)!;
      progress(
        `kill ${round}: ${open} of ${flows} flows open, first step after ${Math.round(firstStepMs)} ms, last flow after ${Math.round(lastFlowMs)} ms, ${lost} lost, ${doubled} doubled`,
      );
    }
    return conclude({ rounds, postgres: postgres.version, entrants, results, failovers });
  } finally {
    for (const { peer } of entrants) await peer.close().catch(() => undefined);
    await Promise.all([restate.stop(), postgres.stop()]);
  }
};

const own = 'Chrysalis';

const enter = async (postgres: Postgres, restate: RestateServer): Promise<Entrant[]> => {
  const { ingress, admin, version } = restate;
  const databaseUrl = urlOf(postgres, 'dbos'); // it makes its database itself
  return [
    { name: own, peer: await start('chrysalis', { databaseUrl: await newDatabase(postgres, 'chrysalis') }), serverPid: postgres.pid },
    { name: 'DBOS', peer: await start('dbos', { databaseUrl, poolSize: '20' }), serverPid: postgres.pid },
    { name: 'Restate', peer: await start('restate', { ingress, admin, version }), serverPid: restate.pid },
  ];
};

const urlOf = ({ connectionString }: Postgres, database: string): string => {
  const url = new URL(connectionString);
  url.pathname = `/${database}`;
  return url.href;
};

const newDatabase = async (postgres: Postgres, name: string): Promise<string> => {
  const client = new pg.Client({ connectionString: postgres.connectionString });
  await client.connect();
  await client.query(`create database ${name}`);
  await client.end();
  return urlOf(postgres, name);
};

/** In an order that turns, so that nobody always follows the same one. */
const takeTurns = async (entrants: readonly Entrant[]): Promise<ReadonlyMap<Entrant, Round>> => {
  const taken = new Map<Entrant, Round[]>(entrants.map((entrant) => [entrant, []]));
  for (let turn = 0; turn < turns; turn++)
    for (let i = 0; i < entrants.length; i++) {
      const entrant = entrants[(i + turn) % entrants.length]!;
      taken.get(entrant)!.push(await measure(entrant));
    }
  return new Map([...taken].map(([entrant, list]) => [entrant, mean(list)]));
};

const measure = async ({ peer, serverPid }: Entrant): Promise<Round> => {
  const before = cpuSecondsOf(serverPid);
  const crowd = await peer.turn({ inFlight, ms: crowdMs });
  const server = cpuSecondsOf(serverPid) - before;
  const { p50: single } = await peer.turn({ inFlight: 1, ms: singleMs });
  const done = crowd.flows * steps;
  return { stepsPerSecond: (done * 1_000) / crowd.ms, p50: crowd.p50, cpu: ((crowd.cpuSeconds + server) * 1_000) / done, single };
};

const mean = (list: readonly Round[]): Round => {
  const of = (key: keyof Round): number => list.reduce((sum, round) => sum + round[key], 0) / list.length;
  return { stepsPerSecond: of('stepsPerSecond'), p50: of('p50'), cpu: of('cpu'), single: of('single') };
};

type Measured = {
  readonly rounds: number;
  readonly postgres: string;
  readonly entrants: readonly Entrant[];
  readonly results: ReadonlyMap<string, readonly Round[]>;
  readonly failovers: readonly Failover[];
};

const conclude = ({ rounds, postgres, entrants, results, failovers }: Measured): Report => {
  const of = (name: string, key: keyof Round): number[] => results.get(name)!.map((r) => r[key]);
  const lines = (what: string, unit: string, key: keyof Round): Contender[] =>
    entrants.map(({ name, peer }) => contender(`${name}, ${what}`, peer.version, unit, of(name, key)));
  /** Within a round, as both ran under the same conditions then. */
  const ratio = (key: keyof Round, other: string): number => median(of(own, key).map((value, i) => value / of(other, key)[i]!));
  const { version } = entrants[0]!.peer;
  const killed = (what: string, key: 'firstStepMs' | 'lastFlowMs'): Contender =>
    contender(
      `${own} killed with ${inFlight} flows open: ${what}`,
      version,
      'ms',
      failovers.map((f) => f[key]),
    );
  const total = (key: 'lost' | 'doubled'): number => failovers.reduce((sum, f) => sum + f[key], 0);
  return report(
    'workflow',
    rounds,
    { database: `PostgreSQL ${postgres}`, fsync: 'on' },
    [
      ...lines(`${inFlight} in flight`, 'steps/s', 'stepsPerSecond'),
      ...lines(`a flow of ${steps} steps, ${inFlight} in flight, p50`, 'ms', 'p50'),
      ...lines(`a flow of ${steps} steps alone, p50`, 'ms', 'single'),
      ...lines('CPU per 1,000 steps', 's', 'cpu'),
      killed('first step of another', 'firstStepMs'),
      killed('last of those flows', 'lastFlowMs'),
    ],
    [
      target('steps/s over DBOS', ratio('stepsPerSecond', 'DBOS'), '>=', 3),
      target('steps/s over Restate', ratio('stepsPerSecond', 'Restate'), '>=', 1),
      target('single flow p50 over DBOS', ratio('single', 'DBOS'), '<=', 1),
      target('single flow p50 over Restate', ratio('single', 'Restate'), '<=', 1),
      target('flows lost by a kill', total('lost'), '<=', 0),
      target('step results doubled by a kill', total('doubled'), '<=', 0),
      target('first step after a kill, ms', Math.max(...failovers.map((f) => f.firstStepMs)), '<=', 5_000),
    ],
    { about },
  );
};
