import type { GraphNode } from '../definition/graph-node.ts';
import type { TaskState } from './state.ts';

/**
 * Where the effect of a task may be: every executor that it was given to, the latest first. One that fell silent, lost its award or was
 * superseded may have had its effect all the same. Where the undo does not name `${executor}`, whoever its route names undoes it for all.
 */
const places = ({ compensation }: GraphNode, { attempts }: TaskState): readonly (string | undefined)[] => {
  const given = [...new Set(attempts.filter((a) => a.action === 'run').map((a) => a.executor))];
  const latest = attempts.findLast((a) => a.action === 'run')?.executor;
  return compensation?.perExecutor ? [latest, ...given.filter((e) => e !== latest).reverse()] : [latest];
};

const undone = ({ attempts }: TaskState): number => attempts.filter((a) => a.action === 'compensate' && a.settled?.ok).length;

/** Where it is to be undone now: what `${executor}` stands for. */
export const undoPlace = (node: GraphNode, task: TaskState): string | undefined => places(node, task)[undone(task)];

/** How many there are behind that one. */
export const undoPlacesLeft = (node: GraphNode, task: TaskState): number => places(node, task).length - undone(task) - 1;
