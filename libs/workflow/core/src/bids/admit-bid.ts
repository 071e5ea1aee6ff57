import { type Coded, type Labels, labelsMissing, type TaskBid, type TaskGroup } from '@chrysalis/contracts';
import { labelsOf } from '../instance/scope.ts';
import { isInstance, type WorkflowInstance } from '../instance/state.ts';

/** An executor as the registry has it. `lost`: its heartbeats stopped, and it has not come back. */
export type KnownExecutor = {
  readonly executor: string;
  readonly group: TaskGroup;
  readonly kinds: readonly string[];
  readonly labels: Labels;
  readonly health: 'up' | 'lost';
};
/**
 * - `executor.unknown`: nobody told of it; `executor.lost`: it is not there, as far as is known.
 * - `executor.foreign`: another group's bid for it, or a bid for another group's task.
 * - `executor.kind_unfit`, `executor.labels_unfit`: it does not run the kind, or lacks these labels.
 */
export type BidRefusal = Coded<{
  readonly code: 'executor.unknown' | 'executor.lost' | 'executor.foreign' | 'executor.kind_unfit' | 'executor.labels_unfit';
  readonly executor: string;
  readonly missing?: readonly string[];
}>;

/**
 * May this executor bid for this task? `from`: the group whose event the bid is. A task that is not there, or is not offered any more, is
 * the decider's to refuse.
 */
export const refusalOfBid = (
  { executor, task }: Pick<TaskBid, 'executor' | 'task'>,
  from: string,
  known: KnownExecutor | undefined,
  state: WorkflowInstance,
): BidRefusal | undefined => {
  if (!known) return { code: 'executor.unknown', executor };
  if (known.group !== from) return { code: 'executor.foreign', executor };
  if (known.health === 'lost') return { code: 'executor.lost', executor };
  if (!isInstance(state)) return undefined;
  const index = state.graph.index.get(task);
  const node = index === undefined ? undefined : state.graph.nodes[index];
  if (!node || node.definition.route.mode !== 'bid') return undefined;
  const { kind, route } = node.definition;
  if (route.group !== known.group) return { code: 'executor.foreign', executor };
  if (!known.kinds.includes(kind)) return { code: 'executor.kind_unfit', executor };
  const missing = labelsMissing(known.labels, labelsOf(state, node));
  return missing.length > 0 ? { code: 'executor.labels_unfit', executor, missing } : undefined;
};
