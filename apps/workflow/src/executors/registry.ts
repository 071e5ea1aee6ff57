import { setTimeout as sleep } from 'node:timers/promises';
import { agentGatewayEvents, executorAnnounced, labelsOfHost, TaskBid, workflowEvents } from '@chrysalis/contracts';
import type { CloudEvent } from '@chrysalis/messaging';
import type { ServiceContext } from '@chrysalis/service-kit';
import { isInstance, isLoss, executorRank, refusalOfBid, toArray, type BidRefusal } from '@chrysalis/workflow-core';
import type { Engine } from '../engine/engine.ts';
import type { Job } from '../engine/plan.ts';
import { addLoss, heard, lose, tell, type ExecutorRow } from './sql.ts';

const { hostAgentEnrolled, hostAgentLost } = agentGatewayEvents;
const ANNOUNCED = /^chrysalis\.[a-z-]+\.executor\.announced\.v1$/;
const BID = /^chrysalis\.([a-z-]+)\.task\.bid\.v1$/;
/** A host that enrolled just now may bid before that was heard: it is looked for again so often. */
const LOOKS = 4;
const LOOK_AGAIN_MS = 75;

type Waiting = { readonly done: (row: ExecutorRow | undefined) => void; readonly failed: (error: unknown) => void };
export type Admitted = { readonly ok: true; readonly job: Job } | { readonly ok: false; readonly rejection: BidRefusal };

/** Who can run what, and who may bid: kept from events, in tables that all instances share. */
export class Executors {
  #asked = new Map<string, Waiting[]>();

  constructor(
    private readonly service: Pick<ServiceContext, 'pool' | 'schema'>,
    private readonly engine: Pick<Engine, 'load'>,
  ) {}

  /** Events that change the registry. Heard in their order, and before the bids of the same batch. */
  wants(type: string): boolean {
    return (
      type === hostAgentEnrolled.type || type === hostAgentLost.type || type === workflowEvents.taskFailed.type || ANNOUNCED.test(type)
    );
  }

  isBid(type: string): boolean {
    return BID.test(type);
  }

  /** The same event again changes nothing. */
  async hear(event: CloudEvent): Promise<void> {
    const { pool, schema } = this.service;
    if (event.type === hostAgentEnrolled.type) {
      const { hostId, sessionId, facts, kinds = [], capacity } = hostAgentEnrolled.schema.parse(event.data);
      const more = { labels: labelsOfHost(facts), sessionId, at: event.time, ...(capacity === undefined ? {} : { capacity }) };
      await tell(pool, schema, { executor: `host:${hostId}`, group: 'agent-gateway', kinds, ...more });
    } else if (event.type === hostAgentLost.type) {
      const { hostId, sessionId } = hostAgentLost.schema.parse(event.data);
      await lose(pool, schema, `host:${hostId}`, sessionId);
    } else if (event.type === workflowEvents.taskFailed.type) await this.#failed(event);
    else await tell(pool, schema, announced.schema.parse(event.data));
  }

  /** A bid becomes a command with its executor's rank, or is refused. */
  async admit(event: CloudEvent, about: Omit<Job, 'workflowId' | 'command'>): Promise<Admitted> {
    const bid = TaskBid.parse(event.data);
    const from = BID.exec(event.type)![1]!;
    for (let look = 1; ; look++) {
      const [{ state }, known] = await Promise.all([this.engine.load(bid.workflowId), this.#find(bid.executor)]);
      const rejection = refusalOfBid(bid, from, known, state);
      const early = rejection?.code === 'executor.unknown' || rejection?.code === 'executor.lost';
      if (rejection && (!early || look === LOOKS)) return { ok: false, rejection };
      if (!rejection) {
        const { rank } = executorRank(known!.losses, known!.now);
        return { ok: true, job: { workflowId: bid.workflowId, command: { type: 'bid', bid, rank }, ...about } };
      }
      await sleep(LOOK_AGAIN_MS);
    }
  }

  /** An awarded attempt that failed costs its executor rank. Whose failure it was is in the instance. */
  async #failed(event: CloudEvent): Promise<void> {
    const { workflowId, task, attempt, executor, cause, at } = workflowEvents.taskFailed.schema.parse(event.data);
    if (!isLoss(cause)) return;
    const { state } = await this.engine.load(workflowId);
    if (!isInstance(state)) return;
    const index = state.graph.index.get(task);
    const attempts = index === undefined ? [] : (toArray(state.tasks)[index]?.attempts ?? []);
    const awarded = attempts.some((a) => a.action === 'run' && a.attempt === attempt && a.executor === executor && a.beginBy !== undefined);
    if (!awarded) return;
    const loss = { executor, eventId: event.id, at: at ?? event.time, code: cause.code, workflowId, task };
    await addLoss(this.service.pool, this.service.schema, loss);
  }

  /** All that are asked for in one moment are one statement. */
  #find(executor: string): Promise<ExecutorRow | undefined> {
    return new Promise((done, failed) => {
      if (this.#asked.size === 0) setImmediate(() => void this.#look());
      this.#asked.set(executor, [...(this.#asked.get(executor) ?? []), { done, failed }]);
    });
  }

  async #look(): Promise<void> {
    const asked = this.#asked;
    this.#asked = new Map();
    try {
      const found = await heard(this.service.pool, this.service.schema, [...asked.keys()]);
      for (const [executor, waiting] of asked) for (const { done } of waiting) done(found.get(executor));
    } catch (error) {
      for (const { failed } of [...asked.values()].flat()) failed(error);
    }
  }
}

/** The same shape in every context. */
const announced = executorAnnounced('workflow');
