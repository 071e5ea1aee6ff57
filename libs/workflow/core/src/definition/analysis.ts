import type { TaskDefinition } from '@chrysalis/contracts';
import { duration } from './critical-path.ts';
import type { Graph, GraphNode } from './graph-node.ts';
import type { Instance } from '../instance/state.ts';
import { get } from '../structures/vector.ts';

/** Of earlier runs, in milliseconds. */
export type Stats = { readonly count: number; readonly p50: number; readonly p95: number };
/** By task of this template, of an item of a `forEach` under `itemsKey`, and by kind. */
export type Measured = { readonly tasks: ReadonlyMap<string, Stats>; readonly kinds: ReadonlyMap<string, Stats> };
export const itemsKey = (task: string): string => `${task}.*`;

/**
 * `by` says where `expectedMs` comes from: what it took in this run, earlier runs of this task or of its kind, its deadline (where nothing
 * at all was ever measured), or nowhere (then it counts as nothing). `workMs`: the time of all its items together.
 */
export type TaskAnalysis = {
  readonly name: string;
  readonly kind: string;
  readonly summary: string;
  readonly level: number;
  readonly dependsOn: readonly string[];
  readonly by: 'run' | 'task' | 'kind' | 'deadline' | 'unknown';
  readonly measured?: Stats;
  readonly expectedMs: number;
  readonly workMs: number;
  readonly startMs: number;
  /** So much later it may end without the whole ending later. */
  readonly slackMs: number;
  readonly critical: boolean;
  readonly items?: { readonly count: number; readonly concurrency: number };
};
export type Chain = { readonly tasks: readonly string[]; readonly ms: number };
export type Analysis = {
  readonly tasks: readonly TaskAnalysis[];
  /** Tasks that can run at the same time, in their order. */
  readonly levels: readonly (readonly string[])[];
  /** The most tasks that can run at a time. */
  readonly width: number;
  /** The longest chain, in time. */
  readonly criticalPath: Chain;
  /** The chain with the most work in it: each item of a `forEach` counts. */
  readonly mostExpensive: Chain;
  readonly expectedMs: number;
  /** Where each task takes what 95 of 100 take at most. */
  readonly p95Ms: number;
  readonly workMs: number;
  /** Tasks that no earlier run tells anything of. */
  readonly unmeasured: readonly string[];
};

type Weight = Pick<TaskAnalysis, 'by' | 'measured' | 'expectedMs' | 'workMs' | 'items'> & { readonly p95Ms: number };

/** What can run in parallel, and what it hangs on. `instance`: one of this graph, with the items and durations that it has. O(nodes + edges). */
export const analyse = (graph: Graph, measured: Measured, instance?: Instance): Analysis => {
  const tasks = graph.order.filter((i) => !graph.nodes[i]!.item);
  const anyMeasured = measured.tasks.size + measured.kinds.size > 0;
  const weights = new Map(tasks.map((i) => [i, weightOf(graph.nodes[i]!, measured, anyMeasured, instance)]));
  const before = new Map(tasks.map((i) => [i, graph.nodes[i]!.dependsOn.filter((d) => !graph.nodes[d]!.item)]));
  const time = longest(tasks, before, (i) => weights.get(i)!.expectedMs);
  const work = longest(tasks, before, (i) => weights.get(i)!.workMs);
  const level = levelsOf(tasks, before);
  const latest = latestEnds(tasks, before, weights, time.total);
  const named = (chain: readonly number[]): string[] => chain.map((i) => graph.nodes[i]!.definition.name);
  const critical = new Set(time.chain);
  const view = (i: number): TaskAnalysis => {
    const { name, kind, summary } = graph.nodes[i]!.definition;
    const { p95Ms: _, ...weight } = weights.get(i)!;
    const startMs = time.ends.get(i)! - weight.expectedMs;
    const slackMs = Math.max(0, latest.get(i)! - time.ends.get(i)!);
    const place = { level: level.get(i)!, dependsOn: named(before.get(i)!) };
    return { name, kind, summary, ...place, ...weight, startMs, slackMs, critical: critical.has(i) };
  };
  const levels: string[][] = [];
  for (const i of tasks) (levels[level.get(i)!] ??= []).push(graph.nodes[i]!.definition.name);
  return {
    tasks: tasks.map(view),
    levels,
    width: Math.max(0, ...levels.map((l) => l.length)),
    criticalPath: { tasks: named(time.chain), ms: time.total },
    mostExpensive: { tasks: named(work.chain), ms: work.total },
    expectedMs: time.total,
    p95Ms: longest(tasks, before, (i) => weights.get(i)!.p95Ms).total,
    workMs: [...weights.values()].reduce((sum, w) => sum + w.workMs, 0),
    unmeasured: named(tasks.filter((i) => ['deadline', 'unknown'].includes(weights.get(i)!.by))),
  };
};

const weightOf = (node: GraphNode, measured: Measured, anyMeasured: boolean, instance: Instance | undefined): Weight => {
  const state = instance && get(instance.tasks, node.index);
  const own = state && (state.fan ? fanDuration(instance, node) : duration(state));
  if (own !== undefined) return { by: 'run', ...same(own), workMs: workOf(instance!, node) ?? own };
  if (state?.phase === 'skipped') return { by: 'run', ...same(0), workMs: 0 };
  return expected(node, measured, anyMeasured, state?.fan?.count);
};

/** A `forEach` takes as many rounds as its limit makes of its items; of a template nobody knows how many there will be. */
const expected = ({ definition }: GraphNode, measured: Measured, anyMeasured: boolean, count: number | undefined): Weight => {
  const { name, kind, forEach, deadlineMs } = definition;
  const own = measured.tasks.get(forEach ? itemsKey(name) : name);
  const stats = own ?? measured.kinds.get(kind);
  const guess = anyMeasured ? ({ by: 'unknown', ms: 0 } as const) : ({ by: 'deadline', ms: deadlineMs } as const);
  const by = own ? 'task' : stats ? 'kind' : guess.by;
  const once = stats ?? { p50: guess.ms, p95: guess.ms };
  const known = stats ? { measured: stats } : {};
  if (forEach && count !== undefined) {
    const rounds = Math.ceil(count / forEach.concurrency);
    const items = { count, concurrency: forEach.concurrency };
    return { by, ...known, items, expectedMs: rounds * once.p50, workMs: count * once.p50, p95Ms: rounds * once.p95 };
  }
  const { p50, p95 } = measured.tasks.get(name) ?? once;
  return { by, ...known, expectedMs: p50, workMs: p50, p95Ms: p95 };
};
const same = (ms: number) => ({ expectedMs: ms, p95Ms: ms });

const fanDuration = ({ tasks }: Instance, node: GraphNode): number | undefined => {
  const { fan, phase } = get(tasks, node.index);
  if (!fan || phase !== 'succeeded') return undefined;
  const ends = range(fan.first, fan.count).map((i) => Date.parse(get(tasks, i).attempts.at(-1)?.settled?.at ?? fan.at));
  return Math.max(0, ...ends.map((end) => end - Date.parse(fan.at)));
};

const workOf = ({ tasks }: Instance, node: GraphNode): number | undefined => {
  const { fan } = get(tasks, node.index);
  return fan && range(fan.first, fan.count).reduce((sum, i) => sum + (duration(get(tasks, i)) ?? 0), 0);
};
const range = (first: number, count: number): number[] => Array.from({ length: count }, (_, i) => first + i);

type Before = ReadonlyMap<number, readonly number[]>;

const longest = (order: readonly number[], before: Before, weight: (i: number) => number) => {
  const ends = new Map<number, number>();
  const via = new Map<number, number>();
  for (const i of order) {
    let start = 0;
    for (const d of before.get(i)!) {
      if (!via.has(i) || ends.get(d)! > start) via.set(i, d);
      start = Math.max(start, ends.get(d)!);
    }
    ends.set(i, start + weight(i));
  }
  const last = order.reduce<number | undefined>((best, i) => (best === undefined || ends.get(i)! > ends.get(best)! ? i : best), undefined);
  const chain: number[] = [];
  for (let i = last; i !== undefined; i = via.get(i)) chain.unshift(i);
  return { ends, chain, total: last === undefined ? 0 : ends.get(last)! };
};

const levelsOf = (order: readonly number[], before: Before): ReadonlyMap<number, number> => {
  const levels = new Map<number, number>();
  for (const i of order) levels.set(i, Math.max(-1, ...before.get(i)!.map((d) => levels.get(d)!)) + 1);
  return levels;
};

const latestEnds = (order: readonly number[], before: Before, weights: ReadonlyMap<number, Weight>, total: number) => {
  const latest = new Map(order.map((i) => [i, total]));
  for (const i of order.toReversed()) {
    const start = latest.get(i)! - weights.get(i)!.expectedMs;
    for (const d of before.get(i)!) latest.set(d, Math.min(latest.get(d)!, start));
  }
  return latest;
};

/** Kinds whose usual duration a definition asks for: those of its hedges with a factor. */
export const hedgedKinds = (tasks: readonly TaskDefinition[]): readonly string[] => [
  ...new Set(tasks.filter((t) => t.hedge?.factor !== undefined).map((t) => t.kind)),
];
