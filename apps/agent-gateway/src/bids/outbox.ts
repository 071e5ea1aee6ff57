import { agentGatewayEvents, taskKey, type TaskBid, type TaskHeartbeat } from '@chrysalis/contracts';
import type { Append, EventMeta } from '@chrysalis/event-store';
import { failpoint, type ServiceContext } from '@chrysalis/service-kit';
import { knownOf } from '../sql/pending-tasks.ts';
import type { Connection } from '../sessions/connection.ts';

type Said = { readonly connection: Connection; readonly hostId: string };
type Bid = Said & { readonly bid: TaskBid; readonly tenant: string };
type Beat = Said & { readonly heartbeat: TaskHeartbeat };

/** Waiting at most: what comes on top is not kept. Silence is no bid, and a heartbeat comes again. */
const MOST_WAITING = 5_000;
const BATCH = 500;

/** What agents said of offers and tasks, made events: all that came while one statement was under way goes with the next. */
export class Outbox {
  #bids: Bid[] = [];
  /** The newest of a task: an older one says nothing more. */
  readonly #beats = new Map<string, Beat>();
  #running: Promise<void> | undefined;

  constructor(private readonly service: ServiceContext) {}

  bid(bid: Bid): void {
    if (this.#bids.length >= MOST_WAITING) return this.service.log.warn({ hostId: bid.hostId }, 'too many bids at a time: one is dropped');
    this.#bids.push(bid);
    this.#kick();
  }

  heartbeat(beat: Beat): void {
    const key = taskKey(beat.heartbeat);
    if (this.#beats.size >= MOST_WAITING && !this.#beats.has(key)) return;
    this.#beats.set(key, beat);
    this.#kick();
  }

  async drained(): Promise<void> {
    while (this.#running) await this.#running;
  }

  #kick(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      if (this.#bids.length > 0 || this.#beats.size > 0) this.#kick();
    });
  }

  async #run(): Promise<void> {
    const bids = this.#bids.splice(0, BATCH);
    const beats = new Map([...this.#beats].slice(0, BATCH));
    for (const key of beats.keys()) this.#beats.delete(key);
    try {
      await failpoint('gateway:bids:before');
      const appends = [...bids.map((b) => this.#ofBid(b)), ...(await this.#ofBeats(beats))];
      if (appends.length > 0) await this.service.store.append(oneAStream(appends));
      await failpoint('gateway:bids:after');
    } catch (err) {
      // Not the agents' fault: they come again, and are offered what is still open.
      this.service.log.error({ err }, 'bids and heartbeats could not be kept');
      for (const { connection } of [...bids, ...beats.values()]) connection.end(1011, 'gateway.fault');
    }
  }

  #ofBid({ bid, hostId, tenant }: Bid): Append {
    const data: TaskBid = { ...bid, executor: `host:${hostId}`, at: this.service.clock() };
    return this.#append(bid.workflowId, agentGatewayEvents.taskBid.type, data, { correlationId: bid.workflowId, tenant }, hostId);
  }

  /** Only who was given a task may say that it is at it; of a task that is over, or was never given, nothing is said. */
  async #ofBeats(beats: ReadonlyMap<string, Beat>): Promise<Append[]> {
    if (beats.size === 0) return [];
    const known = await knownOf(this.service.pool, [...beats.keys()]);
    return [...beats].flatMap(([key, { connection, hostId, heartbeat }]) => {
      const task = known.get(key);
      if (!task || task.state !== 'pending') return [];
      if (task.hostId !== hostId) {
        connection.refuse('agent.foreign_task', `${key} was not given to ${hostId}`);
        return [];
      }
      const { executor, token } = task.dispatch;
      const data: TaskHeartbeat = { ...heartbeat, executor, token, at: this.service.clock() };
      return [this.#append(heartbeat.workflowId, agentGatewayEvents.taskHeartbeat.type, data, task.meta, hostId)];
    });
  }

  #append(workflowId: string, type: string, data: unknown, meta: Omit<EventMeta, 'at' | 'actor'>, hostId: string): Append {
    const event = { id: this.service.newId(), type, data, meta: { ...meta, at: this.service.clock(), actor: `host:${hostId}` } };
    return { stream: `task-${workflowId}`, expected: 'any', events: [event] };
  }
}

/** An append names each stream once. */
const oneAStream = (appends: readonly Append[]): Append[] => {
  const by = new Map<string, Append>();
  for (const { stream, expected, events } of appends)
    by.set(stream, { stream, expected, events: [...(by.get(stream)?.events ?? []), ...events] });
  return [...by.values()];
};
