import { performance } from 'node:perf_hooks';
import { FLEET_TENANT, type PolicySpec } from '@chrysalis/contracts';
import type { CloudEvent } from '@chrysalis/messaging';
import type { ServiceContext } from '@chrysalis/service-kit';
import { isKnown, parseEventCondition, type EventCondition } from '@chrysalis/workflow-core';
import { eventPolicies, type PolicyRow } from './sql.ts';

export type EventPolicy = {
  readonly name: string;
  readonly tenant: string;
  readonly spec: PolicySpec;
  readonly condition?: EventCondition;
};
type ByType = ReadonlyMap<string, readonly EventPolicy[]>;

/**
 * So old may be what an instance goes by. A command that changes a policy is answered only when nobody can have an older view any more
 * (`settled`): what happens after its answer is judged by it, on every instance. Milliseconds.
 */
const FRESH_MS = 250;

/** The policies that wait for events, in memory: an event that no policy waits for, that is, nearly every one, costs no statement. */
export class PolicyView {
  #byType: ByType = new Map();
  #readAt = -Infinity;
  #reading: Promise<void> | undefined;

  constructor(private readonly service: ServiceContext) {}

  async on({ type, tenant }: Pick<CloudEvent, 'type' | 'tenant'>): Promise<readonly EventPolicy[]> {
    if (performance.now() - this.#readAt > FRESH_MS) await (this.#reading ??= this.#read());
    const waiting = this.#byType.get(type);
    return waiting ? waiting.filter((p) => p.tenant === FLEET_TENANT || p.tenant === tenant) : [];
  }

  /** Its age counts from before the statement: what was committed later may be missing in it. */
  async #read(): Promise<void> {
    try {
      const before = performance.now();
      const rows = await eventPolicies(this.service.pool, this.service.schema);
      this.#byType = byType(rows);
      this.#readAt = before;
    } finally {
      this.#reading = undefined;
    }
  }
}

export const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, FRESH_MS + 10));

const byType = (rows: readonly PolicyRow[]): ByType => {
  const policies = rows.flatMap(({ name, tenant, state }): (EventPolicy & { type: string })[] => {
    if (!isKnown(state) || !('event' in state.spec.on)) return [];
    const { event, when } = state.spec.on;
    const condition = when === undefined ? undefined : parseEventCondition(when, () => undefined);
    return [{ type: event, name, tenant, spec: state.spec, ...(condition ? { condition } : {}) }];
  });
  return Map.groupBy(policies, (p) => p.type);
};
