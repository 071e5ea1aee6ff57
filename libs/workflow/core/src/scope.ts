import type { ConditionScope } from './condition.ts';
import type { GraphNode } from './graph.ts';
import { at, resolve, type Lookup, type Template } from './references.ts';
import type { Instance } from './state.ts';
import { get } from './vector.ts';

/** Params, and what tasks gave. Absent: the output of a skipped task, a param that is not given, a path that is not there. */
const forward =
  (state: Instance): Lookup =>
  ({ root, name, path }) =>
    root === 'params'
      ? at(Object.hasOwn(state.params, name) ? state.params[name] : undefined, path)
      : at(get(state.tasks, state.graph.index.get(name)!).output, path);

/** The same for an undo, where what a failed task would have given is null: its executor has to find out what is there. */
const backward = (state: Instance): Lookup => {
  const lookup = forward(state);
  return (reference) => lookup(reference) ?? (reference.root === 'tasks' ? null : undefined);
};

export const inputOf = (state: Instance, node: GraphNode): Record<string, unknown> =>
  resolve(node.input, forward(state)) as Record<string, unknown>;
export const undoInputOf = (state: Instance, node: GraphNode): Record<string, unknown> =>
  resolve(node.compensation!.input, backward(state)) as Record<string, unknown>;

/** A reference that names an executor has to give a text; `undefined` where it does not. */
export const executorOf = (state: Instance, template: Template): string | undefined => {
  if (template.kind === 'text') {
    const missing = template.parts.some((p) => typeof p !== 'string' && isBlank(forward(state)(p)));
    if (missing) return undefined;
  }
  const value = resolve(template, forward(state));
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
  return { params: state.params, tasks: Object.fromEntries(tasks) };
};
