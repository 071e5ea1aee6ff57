import type { WorkflowEvent } from '@chrysalis/contracts';
import type { Draft } from './draft.ts';
import { expand } from '../definition/graph.ts';
import type { GraphNode } from '../definition/graph-node.ts';
import { dropReady, pushReady } from './ready.ts';
import { itemsOf } from './scope.ts';
import type { Fan, TaskState } from './state.ts';
import { concat, get, set } from '../structures/vector.ts';

type Data<T extends string> = Extract<WorkflowEvent, { type: T }>['data'];

/** Items of one `forEach` at most: their outputs, inputs and attempts are kept in memory while the instance runs. */
export const MAX_ITEMS = 20_000;
/** Tasks and items of an instance at most. */
export const MAX_NODES = 100_000;

/** The items become tasks of their own behind all others. O(nodes) once. */
export const expanded = (draft: Draft, { task, count, at }: Data<'chrysalis.workflow.task.expanded.v1'>): void => {
  const index = draft.graph.index.get(task)!;
  const items = itemsOf(draft, draft.graph.nodes[index]!) as readonly unknown[];
  const first = draft.graph.nodes.length;
  dropReady(draft, index);
  draft.graph = expand(draft.graph, index, count);
  const fresh: TaskState = { phase: 'waiting', waitingFor: 0, undoAfter: 0, attempts: [] };
  draft.tasks = concat(
    draft.tasks,
    Array.from({ length: count }, () => fresh),
  );
  draft.unfinished += count;
  const fan: Fan = { first, count, next: 0, going: 0, items, at };
  const phase = count === 0 ? 'ready' : 'expanded';
  draft.tasks = set(draft.tasks, index, { ...get(draft.tasks, index), phase, waitingFor: count, fan });
  if (count === 0) pushReady(draft, index);
  admit(draft, index);
};

/** Lets items go, as many as may be under way at a time. One that an operator ended before its turn takes no room. */
export const admit = (draft: Draft, index: number): void => {
  const task = get(draft.tasks, index);
  const { fan } = task;
  const limit = draft.graph.nodes[index]!.definition.forEach?.concurrency;
  if (!fan || limit === undefined) return;
  let { next } = fan;
  const turns: number[] = [];
  for (; next < fan.count; next++) {
    if (get(draft.tasks, fan.first + next).phase !== 'waiting') continue;
    if (fan.going + turns.length >= limit) break;
    turns.push(fan.first + next);
  }
  if (next === fan.next) return;
  for (const i of turns.toReversed()) {
    draft.tasks = set(draft.tasks, i, { ...get(draft.tasks, i), phase: 'ready' });
    pushReady(draft, i);
  }
  draft.tasks = set(draft.tasks, index, { ...task, fan: { ...fan, next, going: fan.going + turns.length } });
};

/** An item has ended, in whatever way: there is room for the next one. */
export const itemSettled = (draft: Draft, node: GraphNode): void => {
  if (!node.item) return;
  const task = get(draft.tasks, node.item.of);
  if (!task.fan) return;
  draft.tasks = set(draft.tasks, node.item.of, { ...task, fan: { ...task.fan, going: task.fan.going - 1 } });
  admit(draft, node.item.of);
};

/** What a `forEach` gives: the outputs of its items, in their order; null for one that was skipped. */
export const joinedOutput = (draft: Draft, { first, count }: Fan): Record<string, unknown> => ({
  count,
  items: Array.from({ length: count }, (_, i) => get(draft.tasks, first + i).output ?? null),
});
