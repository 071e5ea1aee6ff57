import { ConcurrentAppend, isTransient, type EventStore } from '@chrysalis/event-store';
import { failpoint } from '@chrysalis/service-kit';
import type pg from 'pg';
import { InstanceCache, type Entry } from './cache.ts';
import type { DatabaseClock } from './clock.ts';
import type { TaskDispatch } from '@chrysalis/contracts';
import type { Logger } from 'pino';
import { LocalExecutor } from './local.ts';
import { entryAfter, isNearlyDue, nothing, plan, type Job, type Outcome, type Plan } from './plan.ts';
import { DISPATCHED } from './open-here.ts';
import { handOver, record, recordValues } from './sql/record.ts';

export const streamOf = (workflowId: string): string => `workflow-${workflowId}`;

type Waiting = Job & { readonly done: (outcome: Outcome) => void; readonly failed: (error: unknown) => void };
type Batch = ReadonlyMap<string, readonly Waiting[]>;

export type EngineOptions = {
  readonly store: EventStore;
  readonly clock: DatabaseClock;
  readonly cache?: InstanceCache;
  /** Commits under way at a time, each with a connection of its own. */
  readonly parallel?: number;
  /** Instances in one commit at most. */
  readonly maxBatch?: number;
  /** Called after a commit with the timers that it set, in milliseconds since 1970. */
  readonly onWake?: (at: number) => void;
  /** Called after the commit in which a workflow came to its end, or was refused. */
  readonly onEnded?: (workflowId: string) => void;
  readonly log?: Logger;
};

/**
 * Decides and commits. Jobs of one instance go in their order, one commit at a time; instances that have jobs while a commit is free go
 * together, so that a lone report is committed at once and a flood in few commits. Nothing here is needed after a crash: a job is
 * answered only when its events are committed, and who got no answer asks again.
 */
export class Engine {
  readonly #waiting = new Map<string, Waiting[]>();
  readonly #busy = new Set<string>();
  readonly #cache: InstanceCache;
  readonly #record;
  readonly #handOver;
  /** Executes what is given to the group `workflow`: register its kinds before anything is submitted. */
  readonly local: LocalExecutor;
  #running = 0;
  #idle: (() => void)[] = [];

  constructor(private readonly o: EngineOptions) {
    this.#cache = o.cache ?? new InstanceCache();
    this.#record = record(o.store.schema);
    this.#handOver = handOver(o.store.schema);
    this.local = new LocalExecutor({
      submit: (job) => this.submit(job),
      now: () => o.clock.now(),
      onBeat: (ids) => this.#beat(ids),
      log: o.log,
    });
  }

  /** Resolves when it is committed, or refused. Rejects where it could not be decided or written: then nothing happened. */
  submit(job: Job): Promise<Outcome> {
    return new Promise((done, failed) => {
      const queue = this.#waiting.get(job.workflowId);
      const waiting = { ...job, done, failed };
      if (queue) queue.push(waiting);
      else this.#waiting.set(job.workflowId, [waiting]);
      this.#pump();
    });
  }

  /** Resolves when nothing is under way. */
  async drained(): Promise<void> {
    while (this.#running > 0 || this.#waiting.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** Local tasks are let go of, and whoever looks next is told to look now. */
  async stopLocal(): Promise<void> {
    const left = this.local.stop();
    await this.drained();
    if (left.length > 0) await this.o.store.pool.query(this.#handOver, [left]);
  }

  /** Says that this instance is at work on these, where their rows would come due soon. */
  #beat(workflowIds: Iterable<string>): void {
    const now = this.o.clock.now();
    for (const workflowId of workflowIds)
      if (isNearlyDue(this.#cache.get(workflowId), now))
        this.submit({ workflowId, command: { type: 'tick' }, actor: 'service:workflow', beat: true }).catch((err: unknown) =>
          this.o.log?.warn({ err, workflowId }, 'a timer could not be moved on'),
        );
  }

  /** As it is in the log: another process may have added to what is remembered here. */
  async load(workflowId: string): Promise<Entry> {
    return this.#latest(workflowId, this.#cache.get(workflowId));
  }

  async #latest(workflowId: string, known: Entry = nothing): Promise<Entry> {
    const more = await this.o.store.read(streamOf(workflowId), { from: known.version + 1 });
    const entry = entryAfter(more, known);
    if (more.length > 0) this.#remember(workflowId, entry);
    return entry;
  }

  /** Never backwards: a reader may have seen the log before the commit that is remembered. */
  #remember(workflowId: string, entry: Entry): void {
    if (entry.version >= (this.#cache.get(workflowId)?.version ?? 0)) this.#cache.put(workflowId, entry);
  }

  #pump(): void {
    while (this.#running < (this.o.parallel ?? 4)) {
      const batch = this.#take();
      if (batch.size === 0) return;
      this.#running++;
      void this.#run(batch).finally(() => {
        this.#running--;
        for (const id of batch.keys()) this.#busy.delete(id);
        this.#pump();
        for (const wake of this.#idle.splice(0)) wake();
      });
    }
  }

  #take(): Batch {
    const batch = new Map<string, readonly Waiting[]>();
    for (const [id, queue] of this.#waiting) {
      if (batch.size >= (this.o.maxBatch ?? 100)) break;
      if (this.#busy.has(id)) continue;
      batch.set(id, queue);
    }
    for (const id of batch.keys()) {
      this.#waiting.delete(id);
      this.#busy.add(id);
    }
    return batch;
  }

  /** Never throws. What fails together is tried one by one, so that one instance cannot fail the others. */
  async #run(batch: Batch): Promise<void> {
    try {
      await this.#commitBatch(batch);
    } catch (error) {
      if (batch.size === 1) for (const waiting of [...batch.values()].flat()) waiting.failed(error);
      else for (const [id, queue] of batch) await this.#run(new Map([[id, queue]]));
    }
  }

  async #commitBatch(batch: Batch): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const plans = await Promise.all([...batch].map(([id, jobs]) => this.#plan(id, jobs, attempt)));
      await failpoint('workflow:decided');
      const committed = await this.#commit(plans);
      if ('woken' in committed) {
        if (plans.some((p) => p.events.length > 0)) await failpoint('workflow:committed');
        return this.#answer(plans, committed.woken, batch);
      }
      await Promise.all(committed.lost.map((id) => this.#latest(id, this.#cache.get(id))));
      if (attempt >= 20) throw new Error(`others appended to ${committed.lost.join(', ')} ${attempt} times in a row`);
    }
  }

  /**
   * Decides on what is remembered. What is appended is checked against the log by its expected version; what leads to no event, a refusal
   * say, is not, so it is decided again if the log has more: another process may have given out the very attempt that was reported.
   */
  async #plan(id: string, jobs: readonly Waiting[], attempt: number): Promise<Plan> {
    const known = this.#cache.get(id);
    // A request most often begins something new: the expected version tells where it does not, without a read.
    const fresh = attempt === 1 && jobs[0]!.command.type === 'start';
    const entry = known ?? (fresh ? nothing : await this.#latest(id));
    const planned = this.#planOn(id, entry, jobs);
    if (!known || planned.outcomes.every((o, i) => o.ok && (o.events.length > 0 || jobs[i]!.beat))) return planned;
    const latest = await this.#latest(id, known);
    return latest.version === known.version ? planned : this.#planOn(id, latest, jobs);
  }

  #planOn(id: string, entry: Entry, jobs: readonly Job[]): Plan {
    return plan(id, entry, jobs, this.o.clock.now(), (workflowId, token) => this.local.runs(workflowId, token));
  }

  async #commit(plans: readonly Plan[]): Promise<Committed> {
    const changed = plans.filter((p) => p.events.length > 0);
    const appends = changed.map((p) => ({ stream: streamOf(p.workflowId), expected: p.from, events: p.events }));
    const changes = {
      wakes: plans.flatMap((p) => p.wake ?? []),
      moves: plans.flatMap((p) => p.move ?? []),
      ended: plans.filter((p) => p.ended).map((p) => p.workflowId),
      instances: plans.flatMap((p) => p.row ?? []),
    };
    const beside = changes.wakes.length + changes.moves.length + changes.ended.length + changes.instances.length > 0;
    try {
      // The usual step of a workflow sets no timer and changes no list row: one statement, one round trip, one commit.
      if (!beside) {
        if (appends.length > 0) orLost(await this.o.store.append(appends));
        return { woken: new Map() };
      }
      return await this.o.store.transaction(async (tx) => {
        if (appends.length > 0) orLost(await this.o.store.append(appends, tx));
        await failpoint('workflow:appended');
        return { woken: await this.#recordIn(tx, changes) };
      });
    } catch (error) {
      if (error instanceof Lost) return { lost: [error.workflowId] };
      if (error instanceof ConcurrentAppend || isTransient(error)) return { lost: changed.map((p) => p.workflowId) };
      throw error;
    }
  }

  async #recordIn(tx: pg.PoolClient, changes: Parameters<typeof recordValues>[0]): Promise<ReadonlyMap<string, number>> {
    const { rows } = await tx.query<{ workflow_id: string; at: number }>(this.#record, recordValues(changes));
    return new Map(rows.map((r) => [r.workflow_id, r.at]));
  }

  #answer(plans: readonly Plan[], woken: ReadonlyMap<string, number>, batch: Batch): void {
    for (const p of plans) {
      const wakeAt = woken.get(p.workflowId) ?? (p.move ? Date.parse(p.move.at) : p.entry.wakeAt);
      if (p.entry.version > 0) this.#remember(p.workflowId, wakeAt === undefined ? p.entry : { ...p.entry, wakeAt });
      if (wakeAt !== undefined && wakeAt !== p.entry.wakeAt && !p.ended) this.o.onWake?.(wakeAt);
      batch.get(p.workflowId)!.forEach((waiting, i) => waiting.done(p.outcomes[i]!));
      if (p.ended && p.events.length > 0) this.o.onEnded?.(p.workflowId);
      for (const dispatch of p.given) this.local.run(dispatch);
      if (p.abandoned.length > 0) void this.#runAgain(p.workflowId, p.abandoned);
    }
  }

  /** The same attempts with the same tokens, as the log has them. Where that fails the row comes due again. */
  async #runAgain(workflowId: string, tokens: readonly number[]): Promise<void> {
    try {
      for (const { type, data } of await this.o.store.read(streamOf(workflowId)))
        if (type === DISPATCHED && tokens.includes((data as TaskDispatch).token)) this.local.run(data as TaskDispatch);
    } catch (err) {
      this.o.log?.warn({ err, workflowId }, 'abandoned tasks could not be read');
    }
  }
}

/** Committed, with the timers that were set as they now are; or not, as these instances were not what they were thought to be. */
type Committed = { readonly woken: ReadonlyMap<string, number> } | { readonly lost: readonly string[] };

class Lost extends Error {
  constructor(readonly workflowId: string) {
    super(`somebody else appended to ${workflowId}`);
  }
}
const orLost = (appended: Awaited<ReturnType<EventStore['append']>>): void => {
  if (!appended.ok) throw new Lost(appended.conflict.stream.slice('workflow-'.length));
};
