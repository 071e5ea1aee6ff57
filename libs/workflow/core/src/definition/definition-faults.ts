import type { TaskDefinition, WorkflowDefinition } from '@chrysalis/contracts';
import type { Report } from './faults.ts';
import type { Graph, GraphNode } from './graph-node.ts';
import { referencesIn, type Reference, type Template } from './references.ts';

/** Faults of meaning in a graph whose names and edges are sound: types, items, routes, hedges, tasks that can never run, missing undos. */
export const checkDefinition = (graph: Graph, report: Report): void => {
  const { definition, nodes, index } = graph;
  const decided = definition.undoable ? afterNoReturn(graph) : undefined;
  definition.tasks.forEach((task, i) => {
    const node = nodes[index.get(task.name)!]!;
    const place = `tasks[${i}]`;
    for (const template of templatesOf(node)) for (const r of referencesIn(template)) checkPath(r, definition, report);
    checkTyped(node.executor, 'string', `${place}.route.executor`, definition, report);
    if (task.forEach) checkItems(task, node.items!, place, definition, report);
    checkBid(task, place, report);
    checkHedge(task, place, report);
    checkReachable(node, place, report);
    if (decided && !decided.has(node.index) && !task.compensation && task.effect !== 'none' && !task.pointOfNoReturn)
      report('workflow.compensation_missing', place, `${task.name} may run before a point of no return and cannot be undone`);
  });
};

const templatesOf = ({ input, executor, near, labels, items, compensation }: GraphNode): Template[] => [
  input,
  executor,
  labels,
  ...(near ? [near] : []),
  ...(items ? [items] : []),
  ...(compensation ? [compensation.input, compensation.executor] : []),
];

const scalars = new Set(['string', 'number', 'boolean']);
/** `${params.x.y}` where x is a text has no y. */
const checkPath = ({ root, name, path, place }: Reference, { params }: WorkflowDefinition, report: Report): void => {
  if (root !== 'params' || path.length === 0) return;
  const { type } = params[name]!;
  if (scalars.has(type)) report('workflow.type_mismatch', place, `${name} is a ${type}: there is no ${path.join('.')} in it`);
};

const checkTyped = (template: Template, type: string, place: string, { params }: WorkflowDefinition, report: Report): void => {
  if (template.kind !== 'reference') return;
  const { root, name, path } = template.reference;
  if (root !== 'params' || path.length > 0 || params[name]!.type === type) return;
  report('workflow.type_mismatch', place, `${name} is of type ${params[name]!.type}, wanted is ${type}`);
};

const checkItems = (task: TaskDefinition, items: Template, place: string, definition: WorkflowDefinition, report: Report): void => {
  if (items.kind !== 'reference')
    return report('workflow.for_each_malformed', `${place}.forEach.items`, 'items is one reference to an array, e.g. ${params.vms}');
  checkTyped(items, 'array', `${place}.forEach.items`, definition, report);
  if (task.pointOfNoReturn)
    report('workflow.for_each_malformed', place, 'a forEach cannot be a point of no return: put that into a sub-workflow of each item');
};

const checkBid = ({ route, compensation }: TaskDefinition, place: string, report: Report): void => {
  if (compensation?.route.mode === 'bid')
    report('workflow.route_refused', `${place}.compensation.route`, 'an undo goes to whoever did it: direct to ${executor}, or a group');
  if (route.mode !== 'bid') return;
  if (route.award === 'affinity' && route.near === undefined)
    report('workflow.route_refused', `${place}.route.near`, 'the rule affinity needs `near`');
};

const checkHedge = (task: TaskDefinition, place: string, report: Report): void => {
  const { hedge, idempotent, route, pointOfNoReturn } = task;
  if (!hedge) return;
  const refuse = (why: string): void => report('workflow.hedge_refused', `${place}.hedge`, why);
  if (!idempotent) refuse('only a task that says it is idempotent may run twice at a time');
  if (route.mode !== 'group') refuse('a second execution needs somebody else to do it: route it to a group');
  if (pointOfNoReturn) refuse('a point of no return is passed once');
  if (hedge.afterMs === undefined && hedge.factor === undefined) refuse('say afterMs or factor');
};

/** A condition that asks about nothing has its answer already. */
const checkReachable = ({ condition }: GraphNode, place: string, report: Report): void => {
  if (!condition || condition.params.length > 0 || condition.tasks.length > 0 || condition.perItem) return;
  const verdict = condition.evaluate({ params: {}, tasks: {} });
  if (verdict.ok && !verdict.value) report('workflow.task_unreachable', `${place}.when`, `it is never true: ${condition.source}`);
};

/** Nodes that run only once a point of no return has succeeded. */
const afterNoReturn = ({ nodes, order }: Graph): ReadonlySet<number> => {
  const decided = new Set<number>();
  for (const i of order) if (nodes[i]!.dependsOn.some((d) => decided.has(d) || nodes[d]!.definition.pointOfNoReturn)) decided.add(i);
  return decided;
};
