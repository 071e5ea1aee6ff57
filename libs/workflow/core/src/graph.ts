import type { TaskDefinition, WorkflowDefinition } from '@chrysalis/contracts';
import { parseCondition, type Condition } from './condition.ts';
import { reportCycles, topologicalOrder } from './cycles.ts';
import type { Fault, Report } from './faults.ts';
import { parseTemplate, referencesIn, type Reference, type Template } from './references.ts';

/** A definition made ready to run: names are indices, references and conditions are parsed, edges are known both ways. */
export type Graph = {
  readonly definition: WorkflowDefinition;
  readonly index: ReadonlyMap<string, number>;
  readonly nodes: readonly GraphNode[];
  /** Every node after all it depends on. */
  readonly order: readonly number[];
  readonly output: Template | undefined;
};
export type GraphNode = {
  readonly index: number;
  readonly definition: TaskDefinition;
  readonly input: Template;
  readonly executor: Template;
  readonly condition: Condition | undefined;
  readonly dependsOn: readonly number[];
  readonly dependants: readonly number[];
  readonly compensation: { readonly input: Template; readonly executor: Template } | undefined;
};

const compiled = new WeakMap<WorkflowDefinition, { readonly graph: Graph; readonly faults: readonly Fault[] }>();

/** The graph is to be used only when there is no fault. Cached by the definition object, which nobody changes. */
export const compile = (definition: WorkflowDefinition): { readonly graph: Graph; readonly faults: readonly Fault[] } => {
  const known = compiled.get(definition);
  if (known) return known;
  const faults: Fault[] = [];
  const graph = compileInto(definition, (code, place, message) => faults.push({ code, place, message }));
  const result = { graph, faults };
  compiled.set(definition, result);
  return result;
};

type Parsed = Omit<GraphNode, 'dependsOn' | 'dependants'>;

const compileInto = (definition: WorkflowDefinition, report: Report): Graph => {
  const index = indexOf(definition, report);
  const parsed = definition.tasks.map((task, i) => parseTask(task, i, report));
  const known: Known = (named, place) => checkName(named, definition, index, place, report);
  const dependsOn = parsed.map((task) => dependenciesOf(task, index, known, report));
  const dependants: number[][] = parsed.map(() => []);
  dependsOn.forEach((list, i) => list.forEach((d) => dependants[d]!.push(i)));
  const nodes = parsed.map((task, i) => ({ ...task, dependsOn: dependsOn[i]!, dependants: dependants[i]! }));
  const order = topologicalOrder(nodes);
  if (order.length < nodes.length) reportCycles(nodes, report);
  const output = definition.output && parseTemplate(definition.output, 'output', report);
  if (output) referencesIn(output).forEach((r) => known(r, r.place));
  return { definition, index, nodes, order, output };
};

const indexOf = (definition: WorkflowDefinition, report: Report): Map<string, number> => {
  const index = new Map<string, number>();
  definition.tasks.forEach(({ name }, i) => {
    const first = index.get(name);
    if (first === undefined) index.set(name, i);
    else report('workflow.name_duplicate', `tasks[${i}].name`, `${name} is the name of tasks[${first}] already`);
  });
  return index;
};

const parseTask = (task: TaskDefinition, index: number, report: Report): Parsed => {
  const place = `tasks[${index}]`;
  const { compensation: undo } = task;
  return {
    index,
    definition: task,
    input: parseTemplate(task.input, `${place}.input`, report),
    executor: executorOf(task.route, `${place}.route`, report),
    condition: task.when === undefined ? undefined : parseCondition(task.when, `${place}.when`, report),
    compensation: undo && {
      input: parseTemplate(undo.input, `${place}.compensation.input`, report),
      executor: executorOf(undo.route, `${place}.compensation.route`, report),
    },
  };
};

/** A group route goes to any member: the executor then is `group:<name>`. */
const executorOf = (route: TaskDefinition['route'], place: string, report: Report): Template =>
  route.mode === 'direct'
    ? parseTemplate(route.executor, `${place}.executor`, report)
    : { kind: 'constant', value: `group:${route.group}` };

type Named = Pick<Reference, 'root' | 'name'>;
type Known = (named: Named, place: string) => void;

/** What must have ended before a task may run: `after`, and whatever its input, executor and condition name. A compensation adds nothing. */
const dependenciesOf = (task: Parsed, index: ReadonlyMap<string, number>, known: Known, report: Report): number[] => {
  const place = `tasks[${task.index}]`;
  const names = new Set<string>();
  const use = ({ root, name }: Named, where: string): void => {
    known({ root, name }, where);
    if (root === 'tasks') names.add(name);
  };
  for (const r of [...referencesIn(task.input), ...referencesIn(task.executor)]) use(r, r.place);
  task.definition.after?.forEach((name, i) => {
    if (!index.has(name)) report('workflow.task_unknown', `${place}.after[${i}]`, `there is no task ${name}`);
    names.add(name);
  });
  task.condition?.params.forEach((name) => use({ root: 'params', name }, `${place}.when`));
  task.condition?.tasks.forEach((name) => use({ root: 'tasks', name }, `${place}.when`));
  const { compensation } = task;
  if (compensation) for (const r of [...referencesIn(compensation.input), ...referencesIn(compensation.executor)]) known(r, r.place);
  return [...names].map((n) => index.get(n)).filter((i) => i !== undefined);
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
