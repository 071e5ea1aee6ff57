import { EventEmitter } from 'node:events';
import type { TaskDispatch, WorkflowRequest } from '@chrysalis/contracts';
import type { EventStore } from '@chrysalis/event-store';
import { failpoint } from '@chrysalis/service-kit';
import { hedgedKinds, type WorkflowInstance } from '@chrysalis/workflow-core';
import type { Logger } from 'pino';
import { InstanceCache, type Entry } from './cache.ts';
import type { DatabaseClock } from './clock.ts';
import { Commits, streamOf, type Committed } from './commit.ts';
import { LocalExecutor } from '../local/local.ts';
import { DISPATCHED } from '../local/attempts.ts';
import { entryAfter, isNearlyDue, nothing, plan, type Job, type Outcome, type Plan } from './plan.ts';
import { handOver } from '../sql/record.ts';

export { streamOf } from './commit.ts';

/** Commits under way at a time: while one is on its way to the disk, the next is decided. With 32 workflows at work 2 did a third more than 1 or 4. */
const PARALLEL = 2;
/** An instance of so many events that has ended is not worth remembering: it is read again in no time, if anyone asks at all. */
const SMALL = 200;

type Waiting = Job & { readonly done: (outcome: Outcome) => void; readonly failed: (error: unknown) => void };
type Batch = ReadonlyMap<string, readonly Waiting[]>;

export type EngineOptions = {
  readonly store: EventStore;
  readonly clock: DatabaseClock;
  readonly cache?: InstanceCache;
  /** Commits under way at a time, each with a connection of its own; 2 unless told. */
  readonly parallel?: number;
  /** Instances in one commit at most. */
  readonly maxBatch?: number;
  /** Completes a request before its start is decided: with what its kinds usually take. */
  readonly complete?: (request: WorkflowRequest) => Promise<WorkflowRequest>;
  readonly log?: Logger;
};

/** What is told after a commit, in the order of the commits of an instance. */
export type AfterCommit = {
  /** The timer that it set, in milliseconds since 1970. */
  readonly timer: [at: number];
  /** The workflow came to its end, or was refused. */
  readonly ended: [workflowId: string];
  /** Its events, and the state that they led to. */
  readonly committed: [workflowId: string, state: WorkflowInstance, events: readonly { readonly type: string }[]];
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
  readonly #commits: Commits;
  readonly #handOver;
  readonly after = new EventEmitter<AfterCommit>();
  /** Executes what is given to the group `workflow`: register its kinds before anything is submitted. */
  readonly local: LocalExecutor;
  #running = 0;
  #idle: (() => void)[] = [];

  constructor(private readonly o: EngineOptions) {
    this.#cache = o.cache ?? new InstanceCache();
    this.#commits = new Commits(o.store);
    this.#handOver = handOver(o.store.schema);
    this.local = new LocalExecutor({
      submit: (job) => this.submit(job),
      now: () => o.clock.now(),
      onBeat: (ids) => this.#beat(ids),
      log: o.log,
    });
  }

  /** Resolves when it is committed, or refused. Rejects where it could not be decided or written: then nothing happened. */
  async submit(job: Job): Promise<Outcome> {
    const { complete } = this.o;
    const { command } = job;
    if (!complete || command.type !== 'start' || !isHedged(command.request)) return this.#submit(job);
    return this.#submit({ ...job, command: { ...command, request: await complete(command.request) } });
  }

  /** What `submit` would answer now; nothing of it is done. */
  async judge(job: Job): Promise<Outcome> {
    return this.#planOn(job.workflowId, await this.load(job.workflowId), [job]).outcomes[0]!;
  }

  #submit(job: Job): Promise<Outcome> {
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
    while (this.#busy.size > 0 || this.#waiting.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
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
    while (this.#running < (this.o.parallel ?? PARALLEL)) {
      const batch = this.#take();
      if (batch.size === 0) return;
      this.#running++;
      void this.#run(batch);
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

  /**
   * Never throws. What fails together is tried one by one, so that one instance cannot fail the others; and out of their way, as one that
   * another transaction holds waits for it.
   */
  async #run(batch: Batch): Promise<void> {
    const left = new Map(batch);
    await this.#commitAll(left, (plans) => this.#commits.together(plans)).catch(() => undefined);
    this.#running--;
    this.#release([...batch.keys()].filter((id) => !left.has(id)));
    for (const [id, queue] of left) {
      await this.#alone(id, queue);
      this.#release([id]);
    }
  }

  #release(ids: readonly string[]): void {
    for (const id of ids) this.#busy.delete(id);
    this.#pump();
    for (const wake of this.#idle.splice(0)) wake();
  }

  async #alone(id: string, queue: readonly Waiting[]): Promise<void> {
    try {
      await this.#commitAll(new Map([[id, queue]]), ([p]) => this.#commits.byItself(p!));
    } catch (error) {
      for (const waiting of queue) waiting.failed(error);
    }
  }

  /** Takes from `left` what is committed and answered; what others appended to meanwhile is decided anew. */
  async #commitAll(left: Map<string, readonly Waiting[]>, commit: (plans: readonly Plan[]) => Promise<Committed>): Promise<void> {
    for (let attempt = 1; left.size > 0; attempt++) {
      const plans = await Promise.all([...left].map(([id, jobs]) => this.#plan(id, jobs, attempt)));
      await failpoint('workflow:decided');
      const { woken, lost } = await commit(plans);
      const done = lost.length === 0 ? plans : plans.filter((p) => !lost.includes(p.workflowId));
      if (done.some((p) => p.events.length > 0)) await failpoint('workflow:committed');
      for (const p of done) {
        const queue = left.get(p.workflowId)!;
        left.delete(p.workflowId);
        this.#answer(p, woken, queue);
      }
      if (lost.length > 0 && attempt >= 20) throw new Error(`others appended to ${lost.join(', ')} ${attempt} times in a row`);
      await Promise.all(lost.map((id) => this.#latest(id, this.#cache.get(id))));
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

  #answer(p: Plan, woken: ReadonlyMap<string, number>, queue: readonly Waiting[]): void {
    this.#keep(p, woken.get(p.workflowId) ?? (p.move ? Date.parse(p.move.at) : p.entry.wakeAt));
    queue.forEach((waiting, i) => waiting.done(p.outcomes[i]!));
    if (p.ended && p.events.length > 0) this.after.emit('ended', p.workflowId);
    if (p.events.length > 0) this.after.emit('committed', p.workflowId, p.entry.state, p.events);
    for (const dispatch of p.given) this.local.run(dispatch);
    if (p.abandoned.length > 0) void this.#runAgain(p.workflowId, p.abandoned);
  }

  #keep({ workflowId, entry, ended }: Plan, wakeAt: number | undefined): void {
    if (ended && entry.version <= SMALL) this.#cache.drop(workflowId);
    else if (entry.version > 0) this.#remember(workflowId, wakeAt === undefined ? entry : { ...entry, wakeAt });
    if (wakeAt !== undefined && wakeAt !== entry.wakeAt && !ended) this.after.emit('timer', wakeAt);
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

const isHedged = ({ definition }: WorkflowRequest): boolean => hedgedKinds(definition.tasks).length > 0;
