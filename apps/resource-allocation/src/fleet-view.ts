import type { EventStore, Position, Queryable } from '@chrysalis/event-store';
import { origin } from '@chrysalis/event-store';
import type { HostView } from '@chrysalis/placement';
import { Fleet, type HostEvent, type Versioned } from '@chrysalis/resource-allocation-core';
import { Mutex } from 'async-mutex';
import type pg from 'pg';
import { hostVersions } from './sql/hosts.ts';
import { poolViews } from './sql/pools.ts';

const views = new WeakMap<EventStore, FleetView>();

/**
 * The hosts in memory, for ranking: folded from the service's own log at the first use, and up to its end before each. Reading the
 * log in order stops at the oldest open transaction, of any service; hosts that are further by then, as the caller's transaction sees
 * them, are folded for this one answer only, since that transaction may still be undone.
 */
export class FleetView {
  readonly fleet = new Fleet();
  #position: Position = origin;
  readonly #turn = new Mutex();

  static of(store: EventStore): FleetView {
    const view = views.get(store) ?? new FleetView(store);
    views.set(store, view);
    return view;
  }

  private constructor(private readonly store: EventStore) {}

  /** Reads through the caller's own connection: two that wait for a second one each could wait for ever. */
  async hosts(db: Queryable): Promise<HostView[]> {
    await this.#turn.runExclusive(() => this.#catchUp(db));
    const rows = await hostVersions(db, this.store.schema);
    const away = new Map(rows.map((r) => [r.host, r.away ?? undefined]));
    const ahead = new Map<string, readonly Versioned[]>();
    for (const { host, version } of rows) {
      const from = this.fleet.versionOf(host) + 1;
      if (version >= from)
        ahead.set(host, (await this.store.read(`host-${host}`, { from }, db as pg.PoolClient)) as unknown as Versioned[]);
    }
    const pools = await poolViews(db, this.store.schema);
    return this.fleet.views((host) => away.get(host), ahead).map((view) => ({ ...view, pools }));
  }

  async #catchUp(db: Queryable): Promise<void> {
    for (;;) {
      const events = await this.store.readAll(this.#position, 1000, db as pg.PoolClient);
      for (const e of events) {
        if (e.stream.startsWith('host-')) this.fleet.apply(e.stream.slice('host-'.length), e.version, e as unknown as HostEvent);
        this.#position = { transactionId: e.transactionId, position: e.position };
      }
      if (events.length < 1000) return;
    }
  }
}
