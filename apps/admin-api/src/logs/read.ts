import type { Caller } from '@chrysalis/service-kit';
import type { FeedEntry } from '../reads/feed.ts';
import { FollowedStreams } from '../reads/follow.ts';
import { unknown, type Document, type ReadModels } from '../reads/read-models.ts';
import { models } from '../reads/tables.ts';
import { lineOf, type Known, type LogLine, type StepInfo } from './line.ts';
import { movesIn, stepsOf, vmsNamed, type Move } from './sql.ts';

/** Whose story: of a migration, of one move where that was asked for, and of one VM where that was. */
export type Asked = { readonly migrationId: string; readonly moveId?: string; readonly vmId?: string | undefined };

/** By the id of a migration or of a move; a VM by its id or name. */
export const askedFor = async (reads: ReadModels, id: string, vm: string | undefined, caller: Caller): Promise<Asked> => {
  const move = id.startsWith('mov-') ? await reads.one(models.moves, id, caller) : undefined;
  const migration = await reads.one(models.migrations, (move?.['migrationId'] as string | undefined) ?? id, caller);
  const migrationId = migration['migrationId'] as string;
  return { migrationId, ...(move ? { moveId: id } : {}), vmId: vm === undefined ? undefined : await vmIn(reads, migration, vm) };
};

const vmIn = async (reads: ReadModels, migration: Document, text: string): Promise<string> => {
  const ids = migration['vmIds'] as readonly string[];
  if (ids.includes(text)) return text;
  const [found, ...more] = await vmsNamed(reads, ids, text);
  if (found === undefined || more.length > 0) throw unknown('vm.unknown', `${text} of ${String(migration['migrationId'])}`);
  return found;
};

/** Reads the story of a migration, and on in it. A move may join while it is read. */
export class MoveLog {
  #moves: readonly Move[] = [];
  #steps = new Map<string, StepInfo>();
  readonly #followed: FollowedStreams;

  constructor(
    private readonly reads: ReadModels,
    private readonly asked: Asked,
    from: string,
    caller: Caller,
  ) {
    this.#followed = new FollowedStreams(reads, from, caller);
  }

  /** The lines that are new, in the order of time. */
  async next(): Promise<readonly LogLine[]> {
    const fresh = await this.#followed.next(await this.#look());
    return ordered(fresh).flatMap((e) => (this.#concerns(e) ? (lineOf(e, this.#known) ?? []) : []));
  }

  async #look(): Promise<string[]> {
    const { migrationId } = this.asked;
    const moves = await movesIn(this.reads, this.asked);
    this.#moves = moves;
    this.#steps = await stepsOf(
      this.reads,
      moves.map((m) => m.workflowId),
    );
    return [`migration-${migrationId}`, ...moves.flatMap((m) => [`workflow-${m.workflowId}`, m.vmId])].sort();
  }

  /** Of the VM's own stream only what names the move; of the migration's, what is of no other move. */
  #concerns({ stream, data }: FeedEntry): boolean {
    const { moveId } = data as { moveId?: string };
    if (stream.startsWith('workflow-')) return true;
    if (moveId === undefined) return stream.startsWith('migration-');
    return this.#moves.some((m) => m.moveId === moveId);
  }

  readonly #known: Known = {
    moveOf: (workflowId) => this.#moves.find((m) => m.workflowId === workflowId),
    step: (workflowId, task) => this.#steps.get(`${workflowId}/${task}`) ?? {},
  };
}

/**
 * By time across streams, which reach us beside each other; within a stream as it was written, which is how it reaches us, whoever's clock
 * it was: an event is never before the one that it follows.
 */
const ordered = (entries: readonly FeedEntry[]): readonly FeedEntry[] => {
  const latest = new Map<string, number>();
  const placed = entries.map((entry) => {
    const at = Math.max(latest.get(entry.stream) ?? 0, Date.parse(entry.at));
    latest.set(entry.stream, at);
    return { entry, at };
  });
  return placed.toSorted((a, b) => a.at - b.at).map((p) => p.entry);
};
