import { both, origin, type EventStore, type Position, type Queryable } from '@chrysalis/event-store';
import type { HostView, PoolView } from '@chrysalis/placement';
import { Fleet, hostView, type HostEvent, type KnownState, type Versioned } from '@chrysalis/resource-allocation-core';
import { Mutex } from 'async-mutex';
import type pg from 'pg';
import { hostVersions, type HostVersion } from './sql/hosts.ts';
import { poolViews, viewOfPool, type PoolAt } from './sql/pools.ts';

const views = new WeakMap<EventStore, FleetView>();

/**
 * The log is not read to its end for each answer: what was added since is read of the hosts that have it, which are few. Milliseconds,
 * and hosts.
 */
const CATCH_UP_MS = 100;
const FEW = 16;

/** All hosts as one transaction sees them, with what it has held itself since; and of each the state, to decide on. */
export class FleetLook {
  readonly #views: Map<string, HostView>;
  readonly #hosts = new Set<string>();
  readonly #pools = new Map<string, PoolAt>();

  constructor(
    views: readonly HostView[],
    private readonly pools: Map<string, PoolView>,
    private readonly states: Map<string, KnownState>,
    private readonly fleet: Fleet,
  ) {
    this.#views = new Map(views.map((view) => [view.facts.hostId, { ...view, pools }]));
  }

  get hosts(): HostView[] {
    return [...this.#views.values()];
  }

  known(hostId: string): KnownState {
    return this.states.get(hostId) ?? this.fleet.known(hostId);
  }

  /** A host that the caller's transaction has locked, as it is. */
  ours(hostId: string): KnownState | undefined {
    return this.#hosts.has(hostId) ? this.known(hostId) : undefined;
  }

  /** The same of a pool, without what those hold in it who were not asked for. */
  ourPool(poolId: string): PoolAt | undefined {
    return this.#pools.get(poolId);
  }

  /** The caller's transaction has held there. Its locks keep everybody else away until it ends. */
  held(hostId: string, at: KnownState, pools: readonly PoolAt[]): void {
    this.states.set(hostId, at);
    this.#hosts.add(hostId);
    const before = this.#views.get(hostId);
    if (before && at.state.status === 'known') this.#views.set(hostId, { ...before, ...hostView(at.state) });
    for (const one of pools) {
      this.#pools.set(one.pool.poolId, one);
      this.pools.set(one.pool.poolId, viewOfPool(one.pool));
    }
  }
}

/**
 * The hosts in memory, for ranking: folded from the service's own log at the first use, and up to its end each tenth of a second. Reading
 * the log in order stops at the oldest open transaction, of any service; hosts that are further by then, as the caller's transaction sees
 * them, are folded for this one answer only, since that transaction may still be undone.
 */
export class FleetView {
  readonly fleet = new Fleet();
  #position: Position = origin;
  #caughtUpAt = -Infinity;
  readonly #turn = new Mutex();

  static of(store: EventStore): FleetView {
    const view = views.get(store) ?? new FleetView(store);
    views.set(store, view);
    return view;
  }

  private constructor(private readonly store: EventStore) {}

  async hosts(db: Queryable): Promise<HostView[]> {
    return (await this.look(db)).hosts;
  }

  /** Reads through the caller's own connection: two that wait for a second one each could wait for ever. */
  async look(db: Queryable): Promise<FleetLook> {
    if (performance.now() - this.#caughtUpAt > CATCH_UP_MS) await this.#turn.runExclusive(() => this.#catchUp(db));
    const [rows, pools] = await both(
      db,
      () => hostVersions(db, this.store.schema),
      () => poolViews(db, this.store.schema),
    );
    if (this.#behind(rows).length > FEW) await this.#turn.runExclusive(() => this.#catchUp(db));
    const away = new Map(rows.map((r) => [r.host, r.away ?? undefined]));
    const ahead = new Map<string, KnownState>();
    for (const { host } of this.#behind(rows)) ahead.set(host, await this.#ahead(host, db));
    return new FleetLook(
      this.fleet.views((host) => away.get(host), ahead),
      pools,
      ahead,
      this.fleet,
    );
  }

  #behind(rows: readonly HostVersion[]): readonly HostVersion[] {
    return rows.filter(({ host, version }) => version > this.fleet.versionOf(host));
  }

  async #ahead(host: string, db: Queryable): Promise<KnownState> {
    const events = await this.store.read(`host-${host}`, { from: this.fleet.versionOf(host) + 1 }, db as pg.PoolClient);
    return this.fleet.known(host, events as unknown as Versioned[]);
  }

  async #catchUp(db: Queryable): Promise<void> {
    const at = performance.now();
    for (;;) {
      const events = await this.store.readAll(this.#position, 1000, db as pg.PoolClient);
      for (const e of events) {
        if (e.stream.startsWith('host-')) this.fleet.apply(e.stream.slice('host-'.length), e.version, e as unknown as HostEvent);
        this.#position = { transactionId: e.transactionId, position: e.position };
      }
      if (events.length < 1000) break;
    }
    this.#caughtUpAt = at;
  }
}
