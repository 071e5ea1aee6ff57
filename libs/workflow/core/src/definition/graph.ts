import type { Route, TaskDefinition, WorkflowDefinition } from '@chrysalis/contracts';
import { parseCondition } from './condition.ts';
import { reportCycles, topologicalOrder } from './cycles.ts';
import { checkDefinition } from './definition-faults.ts';
import type { Fault, Report } from './faults.ts';
import type { Graph, GraphNode, Parsed, Slot, Undo } from './graph-node.ts';
import { parseTemplate, referencesIn, type Reference } from './references.ts';

export type Compiled = { readonly graph: Graph; readonly faults: readonly Fault[] };
const compiled = new WeakMap<WorkflowDefinition, Compiled>();

/** The graph is to be used only when there is no fault. Cached by the definition object, which nobody changes. */
export const compile = (definition: WorkflowDefinition): Compiled => {
  const known = compiled.get(definition);
  if (known) return known;
  const result = assemble(
    definition,
    definition.tasks.map(({ name }) => ({ name })),
  );
  compiled.set(definition, result);
  return result;
};

/** The items of a `forEach` become nodes behind all others: no index changes. */
export const expand = (graph: Graph, index: number, count: number): Graph => {
  const of = graph.nodes[index]!.definition.name;
  const items = Array.from({ length: count }, (_, position): Slot => ({ name: `${of}.${position}`, of, position }));
  return assemble(graph.definition, [...graph.slots, ...items]).graph;
};

/** The graph of a definition at these indices; each task of the definition has exactly one slot. O(nodes + edges); tasks are parsed once. */
export const assemble = (definition: WorkflowDefinition, slots: readonly Slot[]): Compiled => {
  const faults: Fault[] = [];
  const report: Report = (code, place, message) => faults.push({ code, place, message });
  const index = indexOf(definition, slots, report);
  const parsed = parseAll(definition, slots, report);
  const known: Known = (named, place) => checkName(named, definition, index, place, report);
  const places = new Map(definition.tasks.map((t, i) => [t, `tasks[${i}]`]));
  const own = parsed.map((task, i) => ('of' in slots[i]! ? [] : dependenciesOf(task, places.get(task.definition)!, index, known, report)));
  const nodes = connected(parsed, slots, index, own);
  const order = topologicalOrder(nodes);
  if (order.length < nodes.length) reportCycles(nodes, report);
  const output = definition.output && parseTemplate(definition.output, 'output', report);
  if (output) referencesIn(output).forEach((r) => outputReference(r, known, report));
  const graph = { definition, slots, index, nodes, order, output };
  if (faults.length === 0) checkDefinition(graph, report);
  return { graph, faults };
};

const indexOf = (definition: WorkflowDefinition, slots: readonly Slot[], report: Report): Map<string, number> => {
  const first = new Map<string, number>();
  definition.tasks.forEach(({ name }, i) => {
    const before = first.get(name);
    if (before === undefined) first.set(name, i);
    else report('workflow.name_duplicate', `tasks[${i}].name`, `${name} is the name of tasks[${before}] already`);
  });
  const index = new Map<string, number>();
  slots.forEach(({ name }, i) => index.has(name) || index.set(name, i));
  return index;
};

const parseAll = (definition: WorkflowDefinition, slots: readonly Slot[], report: Report): Parsed[] => {
  const tasks = new Map<string, Parsed[]>();
  definition.tasks.forEach((t, i) => {
    const parsed = parsedTask(t, `tasks[${i}]`, report);
    tasks.set(t.name, [...(tasks.get(t.name) ?? []), parsed]);
  });
  return slots.map((slot) => {
    if (!('of' in slot)) return tasks.get(slot.name)!.length > 1 ? tasks.get(slot.name)!.shift()! : tasks.get(slot.name)![0]!;
    return itemOf(tasks.get(slot.of)![0]!, slot);
  });
};

const itemOf = (all: Parsed, slot: Extract<Slot, { of: string }>): Parsed => {
  const { forEach: _, ...task } = all.definition;
  const definition = { ...task, name: slot.name, ...(slot.route ? { route: slot.route } : {}) };
  if (!slot.route) return { ...all, definition, items: undefined };
  return { ...all, definition, items: undefined, ...routeOf(slot.route, '', () => undefined) };
};

const parsedTasks = new WeakMap<TaskDefinition, Parsed>();
/** Parsed once for each task object; one with faults again each time, as they have to be told. */
const parsedTask = (task: TaskDefinition, place: string, report: Report): Parsed => {
  const known = parsedTasks.get(task);
  if (known) return known;
  let faults = 0;
  const counted: Report = (code, at, message) => {
    faults++;
    report(code, at, message);
  };
  const parsed = parseTask(task, place, counted);
  if (faults === 0) parsedTasks.set(task, parsed);
  return parsed;
};

const parseTask = (task: TaskDefinition, place: string, report: Report): Parsed => {
  const { compensation: undo, forEach } = task;
  return {
    definition: task,
    input: parseTemplate(task.input, `${place}.input`, report),
    ...routeOf(task.route, `${place}.route`, report),
    items: forEach && parseTemplate(forEach.items, `${place}.forEach.items`, report),
    condition: task.when === undefined ? undefined : parseCondition(task.when, `${place}.when`, report),
    compensation: undo && parseUndo(undo, `${place}.compensation`, report),
  };
};

const parseUndo = (undo: NonNullable<TaskDefinition['compensation']>, place: string, report: Report): Undo => {
  const input = parseTemplate(undo.input, `${place}.input`, report);
  const { executor } = routeOf(undo.route, `${place}.route`, report);
  const perExecutor = [input, executor].flatMap(referencesIn).some((r) => r.root === 'executor');
  return { input, executor, perExecutor };
};

/** A group route goes to any member: the executor then is `group:<name>`. Of a bid it is who does it where nobody bids. */
const routeOf = (route: Route, place: string, report: Report): Pick<Parsed, 'executor' | 'near' | 'labels'> => {
  const none = { near: undefined, labels: { kind: 'constant', value: {} } } as const;
  switch (route.mode) {
    case 'group':
      return { executor: { kind: 'constant', value: `group:${route.group}` }, ...none };
    case 'direct':
      return { executor: parseTemplate(route.executor, `${place}.executor`, report), ...none };
    case 'bid':
      return {
        executor: parseTemplate(route.otherwise ?? '', `${place}.otherwise`, report),
        near: route.near === undefined ? undefined : parseTemplate(route.near, `${place}.near`, report),
        labels: parseTemplate(route.labels ?? {}, `${place}.labels`, report),
      };
  }
};

/** Edges both ways. `own`: what each task of the definition waits for by itself. */
const connected = (
  parsed: readonly Parsed[],
  slots: readonly Slot[],
  index: ReadonlyMap<string, number>,
  own: readonly (readonly number[])[],
): GraphNode[] => {
  const items = new Map<number, number[]>();
  const parents = slots.map((slot, i) => {
    if (!('of' in slot)) return undefined;
    const of = index.get(slot.of)!;
    const list = items.get(of);
    if (list) list.push(i);
    else items.set(of, [i]);
    return { of, position: slot.position };
  });
  const dependsOn = parsed.map((_, i) => {
    const item = parents[i];
    if (item) return own[item.of]!;
    return items.has(i) ? [...own[i]!, ...items.get(i)!] : own[i]!;
  });
  const dependants: number[][] = parsed.map(() => []);
  dependsOn.forEach((list, i) => list.forEach((d) => dependants[d]!.push(i)));
  return parsed.map((task, i) => ({ ...task, index: i, dependsOn: dependsOn[i]!, dependants: dependants[i]!, item: parents[i] }));
};

type Named = { readonly root: Reference['root']; readonly name: string };
type Known = (named: Named, place: string) => void;

/** What must have ended before a task may run: `after`, and whatever its input, executor and condition name. A compensation adds nothing. */
const dependenciesOf = (task: Parsed, place: string, index: ReadonlyMap<string, number>, known: Known, report: Report): number[] => {
  const names = new Set<string>();
  const { definition, condition, compensation } = task;
  const use = ({ root, name }: Named, where: string): void => {
    known({ root, name }, where);
    if (root === 'tasks') names.add(name);
    if ((root === 'item' || root === 'index') && !definition.forEach)
      report('workflow.item_outside_for_each', where, `\${${root}} is there only in a task with forEach`);
    if (root === 'executor') report('workflow.reference_malformed', where, '${executor} is there only in a compensation');
  };
  const forward = [task.input, task.executor, task.labels, ...(task.near ? [task.near] : [])];
  for (const r of forward.flatMap(referencesIn)) use(r, r.place);
  for (const r of task.items ? referencesIn(task.items) : []) {
    if (r.root === 'params' || r.root === 'tasks') use(r, r.place);
    else report('workflow.for_each_malformed', r.place, 'the items come from params or from tasks');
  }
  definition.after?.forEach((name, i) => {
    if (!index.has(name)) report('workflow.task_unknown', `${place}.after[${i}]`, `there is no task ${name}`);
    names.add(name);
  });
  for (const named of condition ? namedIn(condition) : []) use(named, `${place}.when`);
  for (const r of compensation ? ofParamsOrTasks(compensation) : []) known(r, r.place);
  return [...names].map((n) => index.get(n)).filter((i) => i !== undefined);
};

const namedIn = ({ params, tasks, perItem }: NonNullable<Parsed['condition']>): Named[] => [
  ...params.map((name) => ({ root: 'params' as const, name })),
  ...tasks.map((name) => ({ root: 'tasks' as const, name })),
  ...(perItem ? [{ root: 'item' as const, name: '' }] : []),
];

const ofParamsOrTasks = ({ input, executor }: NonNullable<Parsed['compensation']>): Reference[] =>
  [...referencesIn(input), ...referencesIn(executor)].filter(({ root }) => root === 'params' || root === 'tasks');

const outputReference = (reference: Reference, known: Known, report: Report): void => {
  const { root, place } = reference;
  if (root === 'params' || root === 'tasks') known(reference, place);
  else report('workflow.reference_malformed', place, `\${${root}} is there only in a task`);
};

const checkName = (
  named: Named,
  definition: WorkflowDefinition,
  index: ReadonlyMap<string, number>,
  place: string,
  report: Report,
): void => {
  const { root, name } = named;
  if (root === 'params' && !Object.hasOwn(definition.params, name)) report('workflow.param_unknown', place, `there is no param ${name}`);
  if (root === 'tasks' && !index.has(name)) {
    const hint = [...index.keys()].some((n) => n.startsWith(`${name}-`)) ? '; in CEL a name with a hyphen is tasks["…"]' : '';
    report('workflow.task_unknown', place, `there is no task ${name}${hint}`);
  }
};
