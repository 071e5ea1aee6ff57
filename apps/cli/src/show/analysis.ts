import type { Task, WorkflowAnalysis } from '@chrysalis/api-client';
import { bar } from './transfer.ts';
import { fields, table, type Columns } from './output.ts';

const span = (ms: number): string =>
  ms < 10_000 ? `${Math.round(ms)} ms` : ms < 600_000 ? `${(ms / 1000).toFixed(1)} s` : `${(ms / 60_000).toFixed(1)} min`;
type Analysed = WorkflowAnalysis['tasks'][number];
const sources: Readonly<Record<Analysed['by'], string>> = {
  run: 'this run',
  task: 'earlier runs',
  kind: 'its kind',
  deadline: 'its deadline',
  unknown: 'unknown',
};

/** The analysis as a person reads it: the figures, then a line for each task where it lies in time. */
export const analysisText = (a: WorkflowAnalysis): string => {
  const head = fields({
    workflow: a.workflowId,
    name: `${a.name}@${a.version}`,
    expected: `${span(a.expectedMs)} (95 of 100 times at most ${span(a.p95Ms)}), ${span(a.workMs)} of work`,
    'in parallel': `${a.width} at a time at most, in ${a.levels.length} levels`,
    'critical path': `${a.criticalPath.tasks.join(' > ')}  (${span(a.criticalPath.ms)})`,
    'most expensive': `${a.mostExpensive.tasks.join(' > ')}  (${span(a.mostExpensive.ms)})`,
    'not measured': a.unmeasured.join(', '),
  });
  const total = Math.max(1, a.expectedMs);
  const rows = [...a.tasks].sort((x, y) => x.startMs - y.startMs || x.level - y.level);
  const columns: Columns<Analysed> = {
    level: (t) => t.level,
    task: (t) => `${t.critical ? '*' : ' '} ${t.name}`,
    when: (t) => lane(t.startMs / total, (t.startMs + t.expectedMs) / total, (t.startMs + t.expectedMs + t.slackMs) / total),
    takes: (t) => span(t.expectedMs),
    p95: (t) => t.measured && span(t.measured.p95),
    slack: (t) => span(t.slackMs),
    by: (t) => `${sources[t.by]}${t.measured ? ` (${t.measured.count})` : ''}`,
  };
  return [head, '', table(columns, rows), '', '* on the critical path   # runs   - could run as late as this'].join('\n');
};

const WIDTH = 32;
const lane = (start: number, end: number, latest: number): string => {
  const at = (share: number): number => Math.min(WIDTH, Math.round(share * WIDTH));
  const [from, to, late] = [Math.min(WIDTH - 1, at(start)), at(end), at(latest)];
  const runs = Math.max(1, to - from);
  return `|${`${' '.repeat(from)}${'#'.repeat(runs)}${'-'.repeat(Math.max(0, late - from - runs))}`.padEnd(WIDTH).slice(0, WIDTH)}|`;
};

/** `[######....] 149/150 done, 1 failed` */
export const itemsText = ({ count, states = {} }: NonNullable<Task['items']>): string => {
  const done = (states['succeeded'] ?? 0) + (states['skipped'] ?? 0);
  const others = Object.entries(states).filter(([s]) => !['succeeded', 'skipped', 'waiting'].includes(s));
  return [`${bar(done, count)} ${done}/${count} done`, ...others.map(([s, n]) => `${n} ${s}`)].join(', ');
};
