import type { Caller } from '@chrysalis/service-kit';
import type { FeedEntry } from './reads/feed.ts';
import { FollowedStreams } from './reads/follow.ts';
import { taskProgress, workflowsOf } from './reads/moves.ts';
import type { Found, ReadModels } from './reads/read-models.ts';
import { models } from './reads/tables.ts';

export type OperationView = Found & { readonly id: string; readonly state: string; readonly kind: string };

/** The operation as a reader sees it. A migration's progress is that of its moves' tasks, its phase what they do. */
export const operationView = async (reads: ReadModels, found: Found): Promise<OperationView> => {
  const operation = found as OperationView;
  if (operation.kind !== 'migration') return operation;
  const tasks = await taskProgress(reads, operation.id);
  return tasks ? { ...operation, moves: operation['progress'], progress: tasks } : operation;
};

/** Ended, and not only before the event of that version: one that had ended may be undone. */
export const isFinal = ({ state, version }: OperationView, atLeast = 0): boolean =>
  state !== 'running' && state !== 'queued' && version >= atLeast;

/** What happened in an operation: its own stream, and of a migration also the workflows of its moves. */
const streamsOf = async (reads: ReadModels, id: string): Promise<string[]> => {
  const workflows = await workflowsOf(reads, id);
  return [`workflow-${id}`, `migration-${id}`, ...workflows.map((w) => `workflow-${w}`)].sort();
};

/** Reads on in the events of one operation. A move's workflow may be heard of before the migration says that it is its own. */
export class OperationEvents {
  readonly #followed: FollowedStreams;

  constructor(
    private readonly reads: ReadModels,
    private readonly id: string,
    from: string,
    caller: Caller,
  ) {
    this.#followed = new FollowedStreams(reads, from, caller);
  }

  async next(): Promise<readonly FeedEntry[]> {
    return this.#followed.next(await streamsOf(this.reads, this.id));
  }
}

export const findOperation = (reads: ReadModels, id: string, caller: Caller): Promise<Found> => reads.one(models.operations, id, caller);
