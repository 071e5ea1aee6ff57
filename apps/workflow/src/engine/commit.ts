import { isContention, type Append, type EventStore } from '@chrysalis/event-store';
import { failpoint } from '@chrysalis/service-kit';
import type pg from 'pg';
import type { Plan } from './plan.ts';
import { record, recordBeside, recordValues, type Changes } from '../sql/record.ts';

export const streamOf = (workflowId: string): string => `workflow-${workflowId}`;
const idOf = (stream: string): string => stream.slice('workflow-'.length);

/** The timers that were set as they now are, and the instances that were not what they were thought to be: of those nothing was done. */
export type Committed = { readonly woken: ReadonlyMap<string, number>; readonly lost: readonly string[] };
const none: ReadonlyMap<string, number> = new Map();

const appendOf = ({ workflowId, from, events }: Plan): Append[] =>
  events.length === 0 ? [] : [{ stream: streamOf(workflowId), expected: from, events }];

const changesOf = (plans: readonly Plan[]): Changes => ({
  wakes: plans.flatMap((p) => p.wake ?? []),
  moves: plans.flatMap((p) => p.move ?? []),
  ended: plans.filter((p) => p.ended).map((p) => p.workflowId),
  instances: plans.flatMap((p) => p.row ?? []),
});
const isNothing = ({ wakes, moves, ended, instances }: Changes): boolean =>
  wakes.length + moves.length + ended.length + instances.length === 0;

/** Writes what was planned: events at the versions they were decided on, timers and list rows with them or not at all. */
export class Commits {
  readonly #record;
  readonly #recordBeside;

  constructor(private readonly store: EventStore) {
    this.#record = record(store.schema);
    this.#recordBeside = store.beside(recordBeside(store.schema));
  }

  /** One statement, one round trip, one commit, and a verdict for each instance. */
  async together(plans: readonly Plan[]): Promise<Committed> {
    const appends = plans.flatMap(appendOf);
    const changes = changesOf(plans);
    if (isNothing(changes) && appends.length <= 1) return this.#onlyEvents(appends);
    const { answers, answer } = await this.store.appendBeside(this.#recordBeside, appends, recordValues(changes));
    const lost = answers.flatMap((a) => (a.ok ? [] : [idOf(a.conflict.stream)]));
    return { woken: new Map(Object.entries((answer ?? {}) as Record<string, number>)), lost };
  }

  /** The usual step of a lone workflow sets no timer and changes no list row. */
  async #onlyEvents([append]: readonly Append[]): Promise<Committed> {
    const appended = append ? await this.store.appendAtOnce(append) : undefined;
    return { woken: none, lost: appended?.ok === false ? [idOf(appended.conflict.stream)] : [] };
  }

  /** In a transaction, which waits for as long as another holds the stream or the timer. */
  async byItself(p: Plan): Promise<Committed> {
    const [append] = appendOf(p);
    const changes = changesOf([p]);
    try {
      return await this.store.transaction(async (tx) => {
        const appended = append ? await this.store.append(append, tx) : undefined;
        if (appended?.ok === false) return { woken: none, lost: [p.workflowId] };
        await failpoint('workflow:appended');
        return { woken: isNothing(changes) ? none : await this.#recordIn(tx, changes), lost: [] };
      });
    } catch (error) {
      if (isContention(error)) return { woken: none, lost: [p.workflowId] };
      throw error;
    }
  }

  async #recordIn(tx: pg.PoolClient, changes: Changes): Promise<ReadonlyMap<string, number>> {
    const { rows } = await tx.query<{ workflow_id: string; at: number }>(this.#record, recordValues(changes));
    return new Map(rows.map((r) => [r.workflow_id, r.at]));
  }
}
