import type { ConditionScope } from '../definition/condition.ts';
import type { GraphNode } from '../definition/graph-node.ts';
import { undoPlace } from './places.ts';
import { at, resolve, type Lookup, type Template } from '../definition/references.ts';
import type { Instance } from './state.ts';
import { get } from '../structures/vector.ts';

type Scope = Pick<Instance, 'params' | 'tasks' | 'graph'>;

/**
 * Params, and what tasks gave; of an item also the item itself. Absent: the output of a skipped task, a param that is not given, a path
 * that is not there.
 */
const forward =
  (state: Scope, node?: GraphNode): Lookup =>
  ({ root, name, path }) => {
    switch (root) {
      case 'params':
        return at(Object.hasOwn(state.params, name) ? state.params[name] : undefined, path);
      case 'tasks':
        return at(get(state.tasks, ownIndex(state, node, name)).output, path);
      case 'item':
        return at(itemOf(state, node), path);
      case 'index':
        return node?.item?.position;
      case 'executor':
        return undefined;
    }
  };

/** In the undo of an item the name of its `forEach` is the item's own: it undoes what it did itself. */
const ownIndex = ({ graph }: Scope, node: GraphNode | undefined, name: string): number => {
  const index = graph.index.get(name)!;
  return node?.item?.of === index ? node.index : index;
};
const itemOf = ({ tasks }: Scope, node: GraphNode | undefined): unknown =>
  node?.item && get(tasks, node.item.of).fan?.items[node.item.position];

/**
 * The same for an undo, where what a failed task would have given is null, and so is the task's own output where it is undone at another
 * executor than the one that gave it: that one has to find out what is there.
 */
const backward = (state: Instance, node: GraphNode): Lookup => {
  const lookup = forward(state, node);
  const task = get(state.tasks, node.index);
  const executor = undoPlace(node, task);
  const gave = task.attempts.find((a) => a.action === 'run' && a.settled?.ok)?.executor;
  const elsewhere = node.compensation!.perExecutor && gave !== undefined && gave !== executor;
  return (reference) => {
    if (reference.root === 'executor') return executor;
    if (reference.root !== 'tasks') return lookup(reference);
    return elsewhere && ownIndex(state, node, reference.name) === node.index ? null : (lookup(reference) ?? null);
  };
};

export const inputOf = (state: Instance, node: GraphNode): Record<string, unknown> =>
  resolve(node.input, forward(state, node)) as Record<string, unknown>;
export const undoInputOf = (state: Instance, node: GraphNode): Record<string, unknown> =>
  resolve(node.compensation!.input, backward(state, node)) as Record<string, unknown>;
/** Whatever the reference of a `forEach` leads to. */
export const itemsOf = (state: Scope, node: GraphNode): unknown => resolve(node.items!, forward(state));
export const labelsOf = (state: Instance, node: GraphNode): Record<string, string> =>
  Object.fromEntries(Object.entries(resolve(node.labels, forward(state, node)) as object).map(([k, v]) => [k, String(v)]));

/** A reference that names an executor has to give a text; `undefined` where it does not. */
export const executorOf = (state: Instance, node: GraphNode, action: 'run' | 'compensate'): string | undefined =>
  action === 'run' ? textOf(node.executor, forward(state, node)) : textOf(node.compensation!.executor, backward(state, node));
export const nearOf = (state: Instance, node: GraphNode): string | undefined => node.near && textOf(node.near, forward(state, node));

const textOf = (template: Template, lookup: Lookup): string | undefined => {
  if (template.kind === 'text') {
    const missing = template.parts.some((p) => typeof p !== 'string' && isBlank(lookup(p)));
    if (missing) return undefined;
  }
  const value = resolve(template, lookup);
  return isBlank(value) || typeof value !== 'string' ? undefined : value;
};
const isBlank = (value: unknown): boolean => value === undefined || value === null || value === '';

export const outputOf = (state: Instance): Record<string, unknown> =>
  state.graph.output ? (resolve(state.graph.output, forward(state)) as Record<string, unknown>) : {};

export const conditionScope = (state: Instance, node: GraphNode): ConditionScope => {
  const tasks = node.condition!.tasks.map((name) => {
    const task = get(state.tasks, state.graph.index.get(name)!);
    return [name, { state: task.phase, output: task.output ?? null }] as const;
  });
  const { item, condition } = node;
  const own = item && condition!.perItem ? { item: itemOf(state, node), index: item.position } : {};
  return { params: state.params, tasks: Object.fromEntries(tasks), ...own };
};
