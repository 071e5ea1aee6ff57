import type { Change, TaskDefinition, WorkflowDefinition } from '@chrysalis/contracts';
import { affected, duplicateOf, redefined, withTask } from './apply-change.ts';
import { faultsText, type WorkflowRejection } from '../instance/commands.ts';
import type { Slot } from '../definition/graph-node.ts';
import { isLargerThan, MAX_OUTPUT } from '../instance/output-size.ts';
import type { Instance, TaskPhase, TaskState } from '../instance/state.ts';
import { mayHaveEffect } from '../instance/undo.ts';
import { get } from '../structures/vector.ts';

const untouched: readonly TaskPhase[] = ['waiting', 'ready'];
const underWay: readonly TaskPhase[] = ['offered', 'retrying', 'dispatched'];
const notEnded: readonly TaskPhase[] = [...untouched, ...underWay];
/** As many as the shape of a definition allows. */
const MAX_TASKS = 10_000;

/** Why a change may not be made to an instance as it is; `undefined`: it may. */
export const refusal = (state: Instance, change: Change, now: number): WorkflowRejection | undefined => {
  if (state.status === 'compensating') return { code: 'workflow.ending' };
  const repairs = change.type === 'retry-from' || change.type === 'mark-done' || change.type === 'skip-task';
  // Whoever it is a part of has been told of its end, and acts on that.
  if (state.end && !(repairs && state.status === 'stopped' && !state.parent)) return { code: 'workflow.ended' };
  const named = namedTask(change);
  if (named !== undefined && !state.graph.index.has(named)) return { code: 'workflow.task_unknown', task: named };
  return ofKind(state, change, now) ?? faulty(state, change);
};

const namedTask = (change: Change): string | undefined => ('task' in change && typeof change.task === 'string' ? change.task : undefined);

const ofKind = (state: Instance, change: Change, now: number): WorkflowRejection | undefined => {
  switch (change.type) {
    case 'pause':
    case 'resume':
      return undefined;
    case 'duplicate-task':
      return state.graph.nodes[state.graph.index.get(change.task)!]!.item
        ? refuse(change.task, 'it is an item; duplicate its forEach')
        : full(state, change.as);
    case 'add-task':
      return full(state, change.task.name) ?? change.before?.map((name) => begun(state, name)).find((r) => r !== undefined);
    case 'replace-task':
      return change.with.name === change.task
        ? begun(state, change.task)
        : refuse(change.task, `the new task is called ${change.with.name}; its name stays`);
    case 'rewire':
      return change.input || change.after ? begun(state, change.task) : refuse(change.task, 'nothing to change was named');
    case 'set-limits':
      return limits(state, change, now);
    default:
      return ofRun(state, change);
  }
};

type OfRun = Extract<Change, { type: 'reassign' | 'skip-task' | 'mark-done' | 'retry-from' }>;
/** Changes of what may be under way, or have failed. */
const ofRun = (state: Instance, change: OfRun): WorkflowRejection | undefined => {
  switch (change.type) {
    case 'reassign':
      return among(state, change.task, notEnded) ?? oneForAll(state, change.task) ?? undecided(state, [indexAt(state, change.task)]);
    case 'skip-task':
      return (
        decisive(state, change.task) ??
        among(state, change.task, [...untouched, 'offered', 'retrying', 'failed']) ??
        oneForAll(state, change.task)
      );
    case 'mark-done':
      if (isLargerThan(change.output, MAX_OUTPUT)) return refuse(change.task, `the output is larger than ${MAX_OUTPUT} characters of JSON`);
      return among(state, change.task, [...notEnded, 'failed']) ?? oneForAll(state, change.task);
    case 'retry-from':
      return again(state, change.task);
  }
};

const refuse = (task: string, reason: string): WorkflowRejection => ({ code: 'workflow.change_refused', task, reason });
const indexAt = (state: Instance, name: string): number => state.graph.index.get(name)!;
const taskAt = (state: Instance, name: string): TaskState => get(state.tasks, indexAt(state, name));

const full = ({ definition }: Instance, name: string): WorkflowRejection | undefined =>
  definition.tasks.length < MAX_TASKS ? undefined : refuse(name, `a workflow has at most ${MAX_TASKS} tasks`);

const begun = (state: Instance, name: string): WorkflowRejection | undefined => {
  if (!state.graph.index.has(name)) return { code: 'workflow.task_unknown', task: name };
  if (state.graph.nodes[state.graph.index.get(name)!]!.item) return refuse(name, 'it is an item; change its forEach before that begins');
  const task = taskAt(state, name);
  return untouched.includes(task.phase) && !mayHaveEffect(task) && !task.fan
    ? undefined
    : { code: 'workflow.task_begun', task: name, phase: task.phase };
};

const among = (state: Instance, name: string, phases: readonly TaskPhase[]): WorkflowRejection | undefined => {
  const { phase } = taskAt(state, name);
  if (phases.includes(phase) || phase === 'expanded') return undefined;
  if (state.end && phase === 'dispatched') return undefined; // nobody listens to it any more
  return { code: phase === 'dispatched' ? 'workflow.task_running' : 'workflow.task_ended', task: name, phase };
};

const oneForAll = (state: Instance, name: string): WorkflowRejection | undefined =>
  taskAt(state, name).fan ? refuse(name, `its items are under way: name one, ${name}.0 say`) : undefined;

const decisive = (state: Instance, name: string): WorkflowRejection | undefined =>
  state.graph.nodes[state.graph.index.get(name)!]!.definition.pointOfNoReturn
    ? refuse(name, 'the rest of the workflow relies on its having been done')
    : undefined;

const limits = (state: Instance, change: Extract<Change, { type: 'set-limits' }>, now: number): WorkflowRejection | undefined => {
  const { type: _, task, ...wanted } = change;
  const said = Object.keys(wanted);
  if (said.length === 0) return refuse(task ?? '', 'nothing to change was named');
  if (task === undefined) {
    if (said.some((k) => k !== 'deadlineMs')) return refuse('', 'of the instance itself only the deadline can be changed');
    const at = Date.parse(state.startedAt) + wanted.deadlineMs!;
    if (state.parent && at > Date.parse(state.parent.deadlineAt))
      return refuse('', `the workflow it is a part of waits until ${state.parent.deadlineAt}`);
    return at > now ? undefined : refuse('', `the deadline would be ${new Date(at).toISOString()}, which has passed`);
  }
  const node = state.graph.nodes[state.graph.index.get(task)!]!;
  if (node.item) return refuse(task, 'limits are those of the forEach, not of an item');
  if (wanted.concurrency !== undefined && !node.items) return refuse(task, 'only a forEach has a concurrency');
  return taskAt(state, task).phase === 'succeeded' ? { code: 'workflow.task_ended', task, phase: 'succeeded' } : undefined;
};

const again = (state: Instance, name: string): WorkflowRejection | undefined => {
  const index = indexAt(state, name);
  if (!state.end && untouched.includes(get(state.tasks, index).phase)) return refuse(name, 'it has not run yet');
  const own = state.graph.nodes[index]!.item?.of;
  const all = affected(state, index);
  if (get(state.tasks, index).phase === 'expanded' && !all.some((i) => get(state.tasks, i).phase === 'failed'))
    return refuse(name, 'its items are under way, and none has failed');
  for (const i of all) {
    const passed = stands(state, i);
    if (passed) return passed;
    if (get(state.tasks, i).fan && i !== index && i !== own)
      return refuse(name, `${state.graph.nodes[i]!.definition.name} was made of what it gave: its items cannot be taken back`);
  }
  return undecided(state, all);
};

/** What has passed for good, or runs, does not begin anew. */
const stands = (state: Instance, index: number): WorkflowRejection | undefined => {
  const { name, pointOfNoReturn } = state.graph.nodes[index]!.definition;
  const { phase } = get(state.tasks, index);
  if (pointOfNoReturn && phase === 'succeeded') return { code: 'workflow.past_point_of_no_return' };
  return phase === 'dispatched' && !state.end ? { code: 'workflow.task_running', task: name, phase } : undefined;
};

/** While a failure or a wish to cancel waits for the outcome of a point of no return, that is not begun anew: it may have been passed. */
const undecided = (state: Instance, indices: readonly number[]): WorkflowRejection | undefined => {
  if (!state.cause || state.committed) return undefined;
  const waits = (i: number): boolean =>
    state.graph.nodes[i]!.definition.pointOfNoReturn === true && underWay.includes(get(state.tasks, i).phase);
  return indices.some(waits) ? { code: 'workflow.ending' } : undefined;
};

/** The definition as it would be is checked like a new one. */
const faulty = (state: Instance, change: Change): WorkflowRejection | undefined => {
  const trial = definitionAfter(state, change);
  if (!trial) return undefined;
  const { faults } = redefined(state, trial.definition, trial.slots);
  return faults.length === 0 ? undefined : { code: 'workflow.change_invalid', faults: faults.slice(0, 100), message: faultsText(faults) };
};

type Trial = { readonly definition: WorkflowDefinition; readonly slots: readonly Slot[] };
const definitionAfter = (state: Instance, change: Change): Trial | undefined => {
  const { definition, graph } = state;
  const edited = (edit: (t: TaskDefinition) => TaskDefinition): Trial => ({
    definition: { ...definition, tasks: definition.tasks.map(edit) },
    slots: graph.slots,
  });
  const added = (task: TaskDefinition, before: readonly string[]): Trial => ({
    definition: withTask(definition, task, before),
    slots: [...graph.slots, { name: task.name }],
  });
  switch (change.type) {
    case 'add-task':
      return added(change.task, change.before ?? []);
    case 'duplicate-task':
      return added(
        duplicateOf(
          definition.tasks.find((t) => t.name === change.task)!,
          change,
        ),
        [],
      );
    case 'replace-task':
      return edited((t) => (t.name === change.task ? change.with : t));
    case 'rewire': {
      const { input, after } = change;
      return edited((t) => (t.name === change.task ? { ...t, ...(input ? { input } : {}), ...(after ? { after } : {}) } : t));
    }
    case 'reassign':
      return edited((t) => (t.name === change.task.split('.')[0] ? { ...t, route: change.route } : t));
    default:
      return undefined;
  }
};
