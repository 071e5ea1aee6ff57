import type { Fan, Instance, TaskPhase, TaskState } from '../instance/state.ts';
import { get } from '../structures/vector.ts';

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
