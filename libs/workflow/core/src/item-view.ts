import type { Fan, Instance, TaskPhase, TaskState } from './state.ts';
import { isInstance, type WorkflowInstance } from './state.ts';
import { get } from './vector.ts';
import { taskView, type TaskView } from './view.ts';

/** How many items there are, and how many of them are in which state. */
export type ItemsView = { readonly count: number; readonly states: Readonly<Partial<Record<TaskPhase, number>>> };

/** Items that a view of the whole graph shows: so many of each `forEach` at most. */
export const SHOWN_ITEMS = 100;
const wanted: readonly (readonly TaskPhase[])[] = [
  ['failed', 'compensation-failed'],
  ['retrying', 'compensation-retrying', 'offered', 'dispatched', 'compensating'],
];

export const itemsIn = ({ tasks }: Pick<Instance, 'tasks'>, { first, count }: Fan): ItemsView => {
  const states: Partial<Record<TaskPhase, number>> = {};
  for (let i = first; i < first + count; i++) {
    const { phase } = get(tasks, i);
    states[phase] = (states[phase] ?? 0) + 1;
  }
  return { count, states };
};

/** Those that failed before those that are under way; indices in the order of the items. */
export const shownItems = (tasks: readonly TaskState[], { first, count }: Fan): readonly number[] => {
  const of = (phases: readonly TaskPhase[]): number[] =>
    Array.from({ length: count }, (_, i) => first + i).filter((i) => phases.includes(tasks[i]!.phase));
  return wanted
    .flatMap(of)
    .slice(0, SHOWN_ITEMS)
    .sort((a, b) => a - b);
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
