import type { Cause } from '@chrysalis/contracts';
import { duration } from '../definition/critical-path.ts';
import type { GraphNode } from '../definition/graph-node.ts';
import { inputOf } from '../instance/scope.ts';
import {
  isInstance,
  type Attempt,
  type Instance,
  type Offer,
  type TaskPhase,
  type TaskState,
  type WorkflowInstance,
} from '../instance/state.ts';
import { get } from '../structures/vector.ts';
import { brief } from './brief.ts';
import { itemsIn, type ItemsView } from './item-view.ts';

export type TaskView = {
  readonly name: string;
  readonly kind: string;
  readonly summary: string;
  readonly section?: string;
  readonly state: TaskPhase;
  /** Without the items of a `forEach`. */
  readonly dependsOn: readonly string[];
  /** Of an item: its `forEach`, and which it is, from 0. */
  readonly item?: { readonly of: string; readonly position: number };
  /** Of a `forEach` whose items are known. */
  readonly items?: ItemsView;
  /** Executors may bid until it closes. */
  readonly offer?: Offer;
  readonly when?: string;
  readonly pointOfNoReturn: boolean;
  readonly compensation?: string;
  readonly deadlineMs: number;
  readonly attempts: readonly Attempt[];
  /** As it was given out; for a task that has not been, as it is written. Long texts are cut. */
  readonly input: unknown;
  readonly output?: unknown;
  readonly cause?: Cause;
  readonly reason?: string;
  readonly startedAt?: string;
  readonly endedAt?: string;
  /** From the first dispatch to the end. */
  readonly ms?: number;
};
export const taskView = (state: Instance, node: GraphNode, task: TaskState): TaskView => {
  const { definition } = node;
  const begun = task.attempts.some((a) => a.action === 'run');
  return {
    ...asWritten(node),
    state: task.phase,
    dependsOn: node.dependsOn
      .filter((d) => state.graph.nodes[d]!.item?.of !== node.index)
      .map((d) => state.graph.nodes[d]!.definition.name),
    ...(node.item ? { item: { of: state.graph.nodes[node.item.of]!.definition.name, position: node.item.position } } : {}),
    ...(task.fan ? { items: itemsIn(state, task.fan) } : {}),
    ...(task.offer ? { offer: task.offer } : {}),
    attempts: task.attempts,
    input: brief(begun ? inputOf(state, node) : definition.input),
    ...(task.output ? { output: brief(task.output) } : {}),
    ...(task.cause ? { cause: task.cause } : {}),
    ...(task.reason === undefined ? {} : { reason: task.reason }),
    ...times(task),
  };
};

const asWritten = ({
  definition,
}: GraphNode): Pick<TaskView, 'name' | 'kind' | 'summary' | 'section' | 'when' | 'pointOfNoReturn' | 'compensation' | 'deadlineMs'> => ({
  name: definition.name,
  kind: definition.kind,
  summary: definition.summary,
  ...(definition.section ? { section: definition.section } : {}),
  ...(definition.when === undefined ? {} : { when: definition.when }),
  pointOfNoReturn: definition.pointOfNoReturn === true,
  ...(definition.compensation ? { compensation: definition.compensation.kind } : {}),
  deadlineMs: definition.deadlineMs,
});

const times = (task: TaskState): Pick<TaskView, 'startedAt' | 'endedAt' | 'ms'> => {
  const runs = task.attempts.filter((a) => a.action === 'run');
  const ended = runs.at(-1)?.settled;
  const endedAt = task.phase === 'retrying' ? undefined : (ended?.at ?? ended?.endedAt);
  const ms = duration(task);
  return {
    ...(runs[0] ? { startedAt: runs[0].dispatchedAt } : {}),
    ...(endedAt === undefined ? {} : { endedAt }),
    ...(ms === undefined ? {} : { ms }),
  };
};

export type ItemsPage = ItemsView & { readonly task: string; readonly items: readonly TaskView[]; readonly next?: number };
export type ItemsQuery = { readonly from: number; readonly limit: number; readonly state?: string | undefined };

/** Items `from` a position on, in their order; `undefined` where the task is no `forEach` whose items are known. */
export const itemsOf = (state: WorkflowInstance, task: string, { from, limit, state: phase }: ItemsQuery): ItemsPage | undefined => {
  if (!isInstance(state)) return undefined;
  const index = state.graph.index.get(task);
  const fan = index === undefined ? undefined : get(state.tasks, index).fan;
  if (!fan) return undefined;
  const items: TaskView[] = [];
  let at = from;
  for (; at < fan.count && items.length < limit; at++) {
    const i = fan.first + at;
    const item = get(state.tasks, i);
    if (phase === undefined || item.phase === phase) items.push(taskView(state, state.graph.nodes[i]!, item));
  }
  return { task, ...itemsIn(state, fan), items, ...(at < fan.count ? { next: at } : {}) };
};
