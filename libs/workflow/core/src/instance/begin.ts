import type { WorkflowEvent } from '@chrysalis/contracts';
import { compile } from '../definition/graph.ts';
import type { Graph } from '../definition/graph-node.ts';
import { noneReady, priorityOf } from './ready.ts';
import type { Instance, List, TaskState, WorkflowInstance } from './state.ts';
import { vectorOf } from '../structures/vector.ts';

type Data<T extends string> = Extract<WorkflowEvent, { type: T }>['data'];

/** O(n) once: the graph is compiled, what depends on nothing is ready. */
export const started = (data: Data<'chrysalis.workflow.instance.started.v1'>): Instance => {
  const { graph } = compile(data.definition);
  const tasks = graph.nodes.map((n): TaskState => {
    const waitingFor = n.dependsOn.length;
    return { phase: waitingFor === 0 ? 'ready' : 'waiting', waitingFor, undoAfter: 0, attempts: [] };
  });
  return {
    status: 'running',
    workflowId: data.workflowId,
    subject: data.subject,
    tenant: data.tenant ?? '',
    definition: data.definition,
    params: data.params,
    ...(data.parent ? { parent: data.parent } : {}),
    usualMs: data.usualMs ?? {},
    paused: false,
    offers: 0,
    awards: {},
    startedAt: data.at,
    deadlineAt: Date.parse(data.deadlineAt),
    graph,
    tasks: vectorOf(tasks),
    token: 0,
    open: 0,
    retrying: 0,
    decisiveOpen: 0,
    decisiveRetrying: 0,
    unfinished: tasks.length,
    committed: false,
    ready: readyAtOnce(graph),
    undoReady: undefined,
    timers: undefined,
    compensationFailed: false,
    failures: 0,
  };
};

const readyAtOnce = ({ nodes }: Graph): readonly List[] => {
  const ready = [...noneReady];
  for (const { index, dependsOn, definition } of nodes.toReversed())
    if (dependsOn.length === 0) ready[priorityOf(definition)] = { head: index, tail: ready[priorityOf(definition)] };
  return ready;
};

/** A request with faults has ended before it began. */
export const refused = (data: Data<'chrysalis.workflow.instance.ended.v1'>): WorkflowInstance => {
  const { workflowId, subject, name, ...end } = data;
  return { status: 'refused', workflowId, subject, name, end: end as never };
};
