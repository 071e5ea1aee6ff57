import { startPostgres } from '../../infra/postgres/launcher.ts';
import { contender, median, report, target, type BenchOptions, type Contender, type Report } from './report.ts';
import { startChild } from './workflow/child.ts';
import { limit, type Fanout } from './workflow/fanout-ask.ts';

const few = 1_000;
const many = 10_000;
/** So many short runs for a long one, so that both are looked at for about the same time. */
const fewRuns = 5;

const about =
  `One workflow with forEach over simulated VMs of one host, ${limit} at a time: each grows a disk by the simulated driver, executed in the ` +
  "workflow engine's process; dispatch and result of each are events in its log before the next is let go. Added time is the whole less " +
  'the same operations at the same limit without a workflow. Memory is that of the process, which also holds the fleet.';

type Round = { readonly few: readonly Fanout[]; readonly many: Fanout };

/** What a task costs in a workflow of ten thousand, and in one of a thousand. */
export const bench = async ({ rounds, progress }: BenchOptions): Promise<Report> => {
  const postgres = await startPostgres();
  const process = await startChild('fanout', { databaseUrl: postgres.connectionString, fleet: String(many) });
  const run = (vms: number): Promise<Fanout> => process.ask<Fanout>({ vms });
  try {
    for (let i = 0; i < 3; i++) await run(few); // warm
    const results: Round[] = [];
    for (let round = 1; round <= rounds; round++) {
      const first = round % 2 === 1 ? undefined : await run(many);
      const short: Fanout[] = [];
      for (let i = 0; i < fewRuns; i++) short.push(await run(few));
      results.push({ few: short, many: first ?? (await run(many)) });
      const { few: a, many: b } = results.at(-1)!;
      progress(
        `round ${round}: ${addedFew(a).toFixed(3)} ms a task at ${few}, ${added(b, many).toFixed(3)} ms at ${many}; ${Math.round(b.peakMiB)} MiB at most`,
      );
    }
    return conclude(results, rounds, postgres.version, process.ready as number);
  } finally {
    await process.close();
    await postgres.stop();
  }
};

const added = ({ workflowMs, bareMs }: Fanout, vms: number): number => (workflowMs - bareMs) / vms;
const addedFew = (runs: readonly Fanout[]): number => runs.reduce((sum, one) => sum + added(one, few), 0) / runs.length;

const conclude = (results: readonly Round[], rounds: number, database: string, idleMiB: number): Report => {
  const line = (what: string, unit: string, value: (round: Round) => number): Contender =>
    contender(what, 'Chrysalis', unit, results.map(value));
  /** Within a round, as both ran under the same conditions then. */
  const growth = (round: Round): number => added(round.many, many) / addedFew(round.few);
  return report(
    'workflow-fanout',
    rounds,
    { database: `PostgreSQL ${database}`, fsync: 'on' },
    [
      line(`added time a task, ${few} tasks`, 'ms', ({ few: runs }) => addedFew(runs)),
      line(`added time a task, ${many} tasks`, 'ms', ({ many: run }) => added(run, many)),
      line(`the whole workflow of ${many} tasks`, 'ms', ({ many: run }) => run.workflowMs),
      line('its operations alone', 'ms', ({ many: run }) => run.bareMs),
      line(`CPU of the engine for 1,000 tasks, ${many} tasks`, 's', ({ many: run }) => (run.cpuSeconds * 1_000) / many),
      line('peak memory of the process', 'MiB', ({ many: run }) => run.peakMiB),
      line('peak memory over that with the fleet alone', 'MiB', ({ many: run }) => run.peakMiB - idleMiB),
    ],
    [target(`added time a task, ${many} tasks over ${few}`, median(results.map(growth)), '<=', 1.3)],
    { about },
  );
};
