import { contexts, eventsTopic } from '@chrysalis/contracts';
import { both, type EventStore } from '@chrysalis/event-store';
import {
  consume,
  Gather,
  Pace,
  Parking,
  Poison,
  type CloudEvent,
  type Consumption,
  type Delivery,
  type EventBus,
} from '@chrysalis/messaging';
import type pg from 'pg';
import type { Logger } from 'pino';
import { applyBatch } from './apply.ts';
import type { Recorded } from './recorded.ts';

const CONSUMER = 'projector';
export const sources = contexts.map(eventsTopic);

type Projecting = {
  readonly bus: EventBus;
  readonly store: EventStore;
  readonly log: Pick<Logger, 'warn'>;
  readonly onApplied?: (events: number) => void;
};

/**
 * Follows every `…events` topic. The usual way is a whole batch in one transaction, and batches of one moment together. Where that fails, or something of these keys is
 * parked, the events go one by one through `consume`, which retries, parks the poisonous one and what follows under its key, and can
 * put them back later.
 */
export const project = async ({ bus, store, log, onApplied }: Projecting): Promise<Consumption> => {
  const parking = new Parking(store, CONSUMER);
  const apply = async (tx: pg.PoolClient, events: readonly CloudEvent[], recorded: readonly Recorded[]): Promise<void> => {
    const [parked] = await both(
      tx,
      () => parking.keysAmong(events, tx),
      () => applyBatch(tx, store.schema, recorded),
    );
    if (parked.size > 0) throw new Behind();
  };
  const whole = async (events: readonly CloudEvent[]): Promise<boolean> => {
    try {
      const recorded = events.map(fromCloudEvent);
      await store.transaction((tx) => apply(tx, events, recorded), { attempts: 3 });
      onApplied?.(events.length);
      return true;
    } catch (err) {
      if (err instanceof Behind) return false;
      log.warn({ err, events: events.length }, 'a batch could not be applied as a whole; going one by one');
      return false;
    }
  };
  return consume({
    bus: batchesFirst(bus, whole),
    store,
    consumer: CONSUMER,
    group: CONSUMER,
    topics: sources,
    maxBatch: 500,
    handle: async (event, tx) => {
      await applyBatch(tx, store.schema, [fromCloudEvent(event)]);
      onApplied?.(1);
    },
    onParked: (event, reason) => log.warn({ type: event.type, stream: event.subject, id: event.id, reason }, 'event parked'),
  });
};

/** Something of these keys is parked: what was written is rolled back. */
class Behind extends Error {}

const batchesFirst = (bus: EventBus, whole: (events: readonly CloudEvent[]) => Promise<boolean>): EventBus =>
  Object.assign(Object.create(bus) as EventBus, {
    subscribe: (o: Parameters<EventBus['subscribe']>[0]) => {
      const gather = new Gather<{ readonly event: CloudEvent; readonly delivery: Delivery }>({
        paceMs: Pace.readModels,
        together: (batches) => whole(batches.flat().map((d) => d.event)),
        apart: async (batch) => {
          const events = batch.map((d) => d.event);
          if (!(await whole(events))) await o.handle(events, batch[0]!.delivery);
        },
      });
      return bus.subscribe({ ...o, handle: (events, delivery) => gather.submit(events.map((event) => ({ event, delivery }))) });
    },
  });

const fromCloudEvent = (e: CloudEvent): Recorded => {
  if (e.streamversion === undefined) throw new Poison(`event ${e.id} has no stream version`);
  return {
    id: e.id,
    type: e.type,
    stream: e.subject,
    version: e.streamversion,
    at: new Date(e.time).toISOString(),
    tenant: e.tenant,
    actor: e.actor,
    correlationId: e.correlationid,
    ...(e.causationid === undefined ? {} : { causationId: e.causationid }),
    data: e.data,
  };
};
