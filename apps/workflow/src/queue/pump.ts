import type { WorkflowLimits } from '@chrysalis/contracts';
import { failpoint, type ServiceContext } from '@chrysalis/service-kit';
import { isLimited, validateRequest } from '@chrysalis/workflow-core';
import type pg from 'pg';
import type { Engine } from '../engine/engine.ts';
import type { Job, Outcome } from '../engine/plan.ts';
import { definitionOf } from './resolve.ts';
import { round } from './round.ts';
import { entryOf } from './submit.ts';
import * as sql from './sql.ts';
import { Wakeful } from './wakeful.ts';

type Taken = Extract<Outcome, { ok: true }>;
const taken: Taken = { ok: true, version: 0, events: [] };
/** A word that was lost is made up for after this. Milliseconds. */
const POLL_MS = 1_000;

/**
 * Starts what waits, as far as the limits allow. Any number of instances run one; rounds come one at a time (see round.ts). Where no
 * limit concerns a request it passes by here without a word. A row goes only after its start is committed, and a start is idempotent by
 * the workflow's id: whoever is killed in between leaves a row that another takes over.
 */
export class Pump {
  readonly #wakeful: Wakeful;
  #limits: WorkflowLimits | undefined;
  /** Somebody may wait. Counted, so that a round takes back only what was said before it looked. */
  #waiting = false;
  #marks = 0;
  #ended: string[] = [];
  #started: string[] = [];
  #removing: Promise<void> | undefined;

  constructor(
    private readonly service: ServiceContext,
    private readonly engine: Engine,
  ) {
    this.#wakeful = new Wakeful({
      service,
      channel: sql.channel(service.schema),
      pollMs: POLL_MS,
      told: () => this.reload(),
      work: (why) => this.#work(why),
    });
    engine.after.on('ended', (workflowId) => this.#makesRoom(workflowId));
  }

  async start(): Promise<void> {
    await this.reload();
    await this.#wakeful.start();
  }

  async stop(): Promise<void> {
    await this.#wakeful.stop();
    await this.#removing;
  }

  /** An instance ended: there may be room now, and its own row, if it never started, is of no use. */
  #makesRoom(workflowId: string): void {
    if (!this.#waiting) return;
    this.#ended.push(workflowId);
    this.#wakeful.wake();
  }

  /** Somebody waits: looked at as soon as no round is under way. */
  wake(): void {
    this.#mark();
    this.#wakeful.wake();
  }

  /** Whether nothing limits it, as far as this instance knows; limits reach every instance within a second. */
  async isFree(tenant: string, kind: string): Promise<boolean> {
    return !isLimited(this.#limits ?? (await this.reload()), tenant, kind);
  }

  /** What comes by an event: to the engine at once, unless it is a start that a limit concerns. Rejects where it could not be written. */
  submit(job: Job): Promise<Outcome> {
    if (job.command.type !== 'start' || !this.#concerns(job.command)) return this.engine.submit(job);
    return this.#enqueue(job, job.command);
  }

  /** A sub-workflow is part of one that has its place already: waiting for it would be waiting for oneself. */
  #concerns({ request, tenant }: Start): boolean {
    if (request.parent || !this.#limits || !isLimited(this.#limits, tenant, request.definition.name)) return false;
    return validateRequest(request).length === 0; // with faults it gets its verdict at once
  }

  async #enqueue(job: Job, { request, tenant }: Start): Promise<Outcome> {
    const { correlationId = job.workflowId, causationId, traceparent, actor } = job;
    const meta = { actor, correlationId, ...(causationId ? { causationId } : {}), ...(traceparent ? { traceparent } : {}) };
    const entry = entryOf({ ...request, tenant, meta }, request.definition, true, this.service.clock());
    const { admitted } = await this.inRound((tx) => sql.enqueue(tx, this.service.schema, entry));
    await this.run(admitted);
    return taken;
  }

  /** `before`, then a round, in one transaction. What is let in is the caller's to `run`. */
  async inRound(before: (tx: pg.PoolClient) => Promise<unknown>): Promise<{ admitted: readonly sql.QueueRow[] }> {
    const done = await this.service.store.transaction(
      async (tx) => {
        await before(tx);
        return this.roundIn(tx);
      },
      { attempts: 5 },
    );
    return done;
  }

  /** A round in the caller's transaction; instances hear of it when it is committed. */
  async roundIn(tx: pg.PoolClient): Promise<{ admitted: readonly sql.QueueRow[]; full: boolean }> {
    const { admitted, waiting, full } = await round(tx, this.service.store);
    if (waiting && !this.#waiting) await sql.notify(tx, this.service.schema);
    if (waiting) this.#mark();
    return { admitted, full };
  }

  #mark(): void {
    this.#waiting = true;
    this.#marks++;
  }

  /** Starts what was let in. Never rejects: what could not be started is taken over later, here or elsewhere. */
  async run(rows: readonly sql.QueueRow[]): Promise<void> {
    if (rows.length === 0) return;
    await failpoint('workflow:queue-admitted');
    await Promise.all(rows.map((row) => this.#run(row)));
  }

  async #run(row: sql.QueueRow): Promise<void> {
    const { workflowId, subject, params, tenant, meta } = row;
    try {
      const definition = row.definition ?? (await definitionOf(this.service.pool, this.service.schema, row.name, row.version));
      if (!definition) throw new Error(`the template ${row.name}@${row.version} is not there`);
      const command = { type: 'start', request: { workflowId, definition, params, subject }, tenant } as const;
      const outcome = await this.engine.submit({ ...meta, workflowId, command, tenant });
      if (!outcome.ok) this.service.log.warn({ workflowId, rejection: outcome.rejection }, 'a queued request was refused');
      await failpoint('workflow:queue-started');
      this.#started.push(workflowId);
      this.#removing ??= this.#remove();
    } catch (err) {
      this.service.log.error({ err, workflowId }, 'a queued request could not be started; it will be tried again');
    }
  }

  /** Rows of what has started, those of one moment together. A row that stays makes one more start that finds itself done. */
  async #remove(): Promise<void> {
    try {
      await new Promise(setImmediate);
      while (this.#started.length > 0) await sql.remove(this.service.pool, this.service.schema, this.#started.splice(0));
    } catch (err) {
      this.service.log.warn({ err }, 'rows of the queue could not be removed');
    } finally {
      this.#removing = undefined;
    }
  }

  /** The limits as they are now; who waits is looked at again under them. */
  async reload(): Promise<WorkflowLimits> {
    const before = this.#limits;
    this.#limits = await sql.readLimits(this.service.pool, this.service.schema);
    if (before) this.wake();
    return this.#limits;
  }

  async #work(why: 'woken' | 'poll'): Promise<void> {
    const { pool, schema } = this.service;
    if (why === 'poll') {
      const { waiting, any } = await sql.occupied(pool, schema);
      if (waiting) this.#mark();
      if (any) await this.run(await sql.takeOver(pool, schema, 100));
      this.#limits = await sql.readLimits(pool, schema);
    }
    if (!this.#waiting) return;
    const marks = this.#marks;
    const gone = this.#ended.splice(0);
    const { admitted, waiting, full } = await this.service.store.transaction(
      async (tx) => {
        if (gone.length > 0) await sql.remove(tx, schema, gone);
        return round(tx, this.service.store);
      },
      { attempts: 5 },
    );
    if (this.#marks === marks) this.#waiting = waiting;
    if (full) this.#wakeful.wake();
    await this.run(admitted);
  }
}

type Start = Extract<Job['command'], { type: 'start' }>;
