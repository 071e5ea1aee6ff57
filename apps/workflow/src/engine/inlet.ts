import {
  contexts,
  eventsTopic,
  isReservedWorkflowId,
  TaskHeartbeat,
  TaskReport,
  WorkflowCancel,
  WorkflowRequest,
} from '@chrysalis/contracts';
import { isDatabaseAway } from '@chrysalis/event-store';
import { Parking, type CloudEvent, type Delivery, type Health, type Subscription } from '@chrysalis/messaging';
import type { ServiceContext } from '@chrysalis/service-kit';
import { z } from 'zod';
import type { Engine } from './engine.ts';
import { Executors } from '../executors/registry.ts';
import type { Job } from './plan.ts';
import type { PolicyIntake } from '../policies/intake.ts';
import type { Pump } from '../queue/pump.ts';

const CONSUMER = 'workflow.engine';
const REPORTED = /^chrysalis\.[a-z-]+\.task\.reported\.v1$/;
const HEARTBEAT = /^chrysalis\.[a-z-]+\.task\.heartbeat\.v1$/;
/** `workflow-template-…` are other streams. */
const Request = WorkflowRequest.refine((r) => !isReservedWorkflowId(r.workflowId), { path: ['workflowId'], message: 'a reserved id' });
const Carrier = z.object({ request: Request.optional(), cancel: WorkflowCancel.optional() });

/** What an event asks of workflows: a report, a request, a wish to cancel, or nothing. Throws where it asks in a wrong shape. */
const jobsOf = (event: CloudEvent): Job[] => {
  const about = aboutOf(event);
  if (HEARTBEAT.test(event.type)) {
    const heartbeat = TaskHeartbeat.parse(event.data);
    return [{ workflowId: heartbeat.workflowId, command: { type: 'heartbeat', heartbeat }, ...about }];
  }
  if (REPORTED.test(event.type)) {
    const report = TaskReport.parse(event.data);
    return [{ workflowId: report.workflowId, command: { type: 'report', report }, ...about }];
  }
  if (event.type.startsWith('chrysalis.workflow.') || !asks(event.data)) return [];
  const { request, cancel } = Carrier.parse(event.data);
  return [
    ...(request ? [{ workflowId: request.workflowId, command: { type: 'start' as const, request, tenant: event.tenant }, ...about }] : []),
    ...(cancel?.workflowIds ?? []).map((workflowId) => ({
      workflowId,
      command: { type: 'cancel' as const, reason: cancel!.reason },
      ...about,
    })),
  ];
};
const aboutOf = (event: CloudEvent): Omit<Job, 'workflowId' | 'command'> => ({
  actor: 'service:workflow',
  correlationId: event.correlationid,
  causationId: event.id,
  tenant: event.tenant,
  ...(event.traceparent === undefined ? {} : { traceparent: event.traceparent }),
});
const asks = (data: unknown): boolean => typeof data === 'object' && data !== null && ('request' in data || 'cancel' in data);

const ATTEMPTS = 5;

/**
 * From the bus to the engine. There is no inbox: a report is for one attempt with one token, a request for one id, so the decider itself
 * knows what it has seen; that saves a row and a round trip for each step. What cannot be handled is parked alone, as events of a key do
 * not build on each other here.
 */
export class Inlet {
  readonly #parking: Parking;
  readonly #executors: Executors;
  #subscription: Subscription | undefined;
  #redriving: NodeJS.Timeout | undefined;

  constructor(
    private readonly service: ServiceContext,
    private readonly engine: Engine,
    private readonly pump: Pump,
    private readonly policies: Pick<PolicyIntake, 'take'>,
  ) {
    this.#parking = new Parking(service.store, CONSUMER);
    this.#executors = new Executors(service, engine);
  }

  async start(): Promise<void> {
    const topics = contexts.map(eventsTopic);
    await this.service.bus.ensureTopics(topics.map((name) => ({ name, partitions: 6 })));
    this.#subscription = await this.service.bus.subscribe({
      group: CONSUMER,
      topics,
      maxBatch: 200,
      handle: (events, delivery) => this.#deliver(events, delivery),
    });
    this.#redriving = setInterval(() => void this.#redrive(), 1_000);
  }

  health(): Health {
    return this.#subscription?.health() ?? { ok: false, reason: 'events are not read yet' };
  }

  async stop(): Promise<void> {
    clearInterval(this.#redriving);
    await this.#subscription?.stop();
    await this.engine.drained();
  }

  /**
   * All of a batch at once: the engine puts what it can into one commit, and keeps the order within a workflow. What tells of executors
   * goes first and in its order: it is rare, and the bids build on it.
   */
  async #deliver(events: readonly CloudEvent[], { topic }: Delivery): Promise<void> {
    const tells = (event: CloudEvent): boolean => this.#executors.wants(event.type);
    for (const event of events) if (tells(event)) await this.#handle(event, topic);
    await Promise.all(events.map((event) => tells(event) || this.#handle(event, topic)));
  }

  async #handle(event: CloudEvent, topic: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#effect(event);
      } catch (error) {
        const malformed = error instanceof z.ZodError;
        if (!malformed && isDatabaseAway(error)) throw error; // the bus brings the batch again
        if (!malformed && attempt < ATTEMPTS) {
          await new Promise((resolve) => setTimeout(resolve, 50 * 2 ** attempt));
          continue;
        }
        this.service.log.error({ err: error, type: event.type, id: event.id }, 'an event was parked');
        return this.#parking.park(event, topic, String((error as Error).message ?? error).slice(0, 2000), attempt);
      }
    }
  }

  async #effect(event: CloudEvent): Promise<void> {
    if (this.#executors.wants(event.type)) return this.#executors.hear(event);
    if (this.#executors.isBid(event.type)) return this.#bid(event);
    const outcomes = await Promise.all(jobsOf(event).map((job) => this.pump.submit(job)));
    for (const outcome of outcomes)
      if (!outcome.ok) this.service.log.info({ rejection: outcome.rejection, type: event.type, id: event.id }, 'refused');
    await this.policies.take(event);
  }

  async #bid(event: CloudEvent): Promise<void> {
    const admitted = await this.#executors.admit(event, aboutOf(event));
    const outcome = admitted.ok ? await this.engine.submit(admitted.job) : admitted;
    if (!outcome.ok) this.service.log.info({ rejection: outcome.rejection, id: event.id }, 'a bid was refused');
  }

  async #redrive(): Promise<void> {
    try {
      for (const key of await this.#parking.keysToRedrive()) while (await this.#parking.redriveFirst(key, (event) => this.#effect(event)));
    } catch (err) {
      this.service.log.warn({ err }, 'redrive failed');
    }
  }
}
