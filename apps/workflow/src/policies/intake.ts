import type { PolicyCause } from '@chrysalis/contracts';
import type { CloudEvent } from '@chrysalis/messaging';
import { failpoint, type ServiceContext } from '@chrysalis/service-kit';
import { eventFits, policyWorkflowId, tooLarge, type PolicyEvent } from '@chrysalis/workflow-core';
import { noteFailure, noteFiring, type Failure } from './sql.ts';
import { PolicyView, type EventPolicy } from './view.ts';

/** More than this wait for a policy's limits: further events are not kept for it, and it says so. */
const MOST_WAITING = 1_000;
const FAILURES_EVERY_MS = 1_000;

const eventOf = ({ id, type, subject, time, tenant, actor, data }: CloudEvent): PolicyEvent => ({
  id,
  type,
  subject,
  time,
  tenant,
  actor,
  data,
});
export const causeOf = ({ id, type, subject }: PolicyEvent): PolicyCause => ({ kind: 'event', eventId: id, eventType: type, subject });

/**
 * Events to firings. There is no inbox: the firing's key follows from policy and event, so an event that comes again finds what it did.
 * Resolves when all that it fires is written down; a condition that fails is told of its policy and never holds the event up.
 */
export class PolicyIntake {
  readonly view: PolicyView;
  readonly #failing = new Map<string, { last: Failure; times: number }>();
  #flushing: NodeJS.Timeout | undefined;

  constructor(
    private readonly service: ServiceContext,
    /** Something waits to be started. */
    private readonly noted: () => void,
  ) {
    this.view = new PolicyView(service);
  }

  async take(event: CloudEvent): Promise<void> {
    for (const policy of await this.view.on(event)) if (!ofItsOwn(event, policy)) await this.#match(eventOf(event), policy);
  }

  async stop(): Promise<void> {
    clearTimeout(this.#flushing);
    await this.#flush();
  }

  async #match(event: PolicyEvent, policy: EventPolicy): Promise<void> {
    if (!eventFits(event))
      return this.#failed(policy.name, { code: 'policy.event_too_large', message: tooLarge.message, eventId: event.id });
    const verdict = policy.condition ? policy.condition.evaluate(event) : ({ ok: true, value: true } as const);
    if (!verdict.ok) return this.#failed(policy.name, { code: 'workflow.condition_failed', message: verdict.message, eventId: event.id });
    if (!verdict.value) return;
    const cause = causeOf(event);
    const firing = { workflowId: policyWorkflowId(policy.name, cause), policy: policy.name, cause, scope: { event } };
    const outcome = await noteFiring(this.service.pool, this.service.schema, firing, MOST_WAITING);
    await failpoint('policy:noted', { policy: policy.name });
    if (outcome === 'noted') this.noted();
    if (outcome === 'full')
      this.#failed(policy.name, { code: 'policy.backlog_full', message: `${MOST_WAITING} wait already`, eventId: event.id });
  }

  /** A condition that fails on every event of a busy type shall not cost a statement for each. */
  #failed(name: string, failure: Omit<Failure, 'at'>): void {
    const times = (this.#failing.get(name)?.times ?? 0) + 1;
    this.#failing.set(name, { last: { ...failure, at: this.service.clock() }, times });
    this.#flushing ??= setTimeout(() => void this.#flush(), FAILURES_EVERY_MS);
  }

  async #flush(): Promise<void> {
    this.#flushing = undefined;
    const failing = [...this.#failing];
    this.#failing.clear();
    for (const [name, { last, times }] of failing)
      await noteFailure(this.service.pool, this.service.schema, name, last, times).catch((err: unknown) =>
        this.service.log.warn({ err, policy: name }, 'a failure could not be noted'),
      );
  }
}

/** What a policy's workflow causes does not fire that policy again: it would go round for ever. */
const ofItsOwn = ({ correlationid }: CloudEvent, { name }: EventPolicy): boolean => {
  const prefix = policyWorkflowId(name, { kind: 'event', eventId: '', eventType: '', subject: '' });
  return correlationid.startsWith(prefix) && OF_A_CAUSE.test(correlationid.slice(prefix.length));
};
/** The id of an event or the moment of a slot: so the policy `drain` is not taken for `drain-more`. */
const OF_A_CAUSE = /^(?:[0-9a-f]{8}-[0-9a-f-]{27}|[0-9]{8}T[0-9]{6}Z)$/;
