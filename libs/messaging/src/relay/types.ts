import type { EventStore, StoredEvent } from '@chrysalis/event-store';
import type pg from 'pg';
import type { EventBus, Health, Message } from '../bus.ts';

export type RelayOptions = {
  readonly store: EventStore;
  readonly schema: string;
  readonly bus: EventBus;
  /** Where an event goes; none is an answer too. Pure: a replay calls it again. */
  readonly route: (event: StoredEvent) => readonly Message[];
  /** `logical`: from PostgreSQL's own log, fails where that cannot be had. `poll`: the ordered read. `auto`: the first that works. */
  readonly mode: 'auto' | 'logical' | 'poll';
  /** For replication and for the lock; the pool's own unless told. Logical mode needs the REPLICATION attribute. */
  readonly connection?: pg.ClientConfig;
  /** Events in one publication at most, 500 unless told. */
  readonly batch?: number;
  /** Above this lag, in bytes of PostgreSQL's log, health says so. 256 MiB unless told, a quarter of what the server keeps for a slot. */
  readonly lagAlarmBytes?: number;
};

export type RelayStatus = {
  /** `standby`: another instance publishes; this one takes over when that ends. */
  readonly role: 'leader' | 'standby';
  readonly mode: 'logical' | 'poll';
  /** Events published by this instance. */
  readonly published: number;
  /** Events read and not yet acknowledged by the bus. */
  readonly pending: number;
  /** Of PostgreSQL's log behind the slot; only in logical mode. */
  readonly lagBytes?: number;
};

export type Relay = {
  stop(): Promise<void>;
  health(): Health;
  status(): RelayStatus;
};

/** The mutable side of a relay, shared by its parts. */
export type RelayState = {
  readonly options: RelayOptions;
  readonly connection: pg.ClientConfig;
  stopped: boolean;
  leader: boolean;
  mode: 'logical' | 'poll';
  published: number;
  pending: number;
  lagBytes: number | undefined;
  /** What is wrong now, by whose work it shows; each takes its own away when it works again. */
  readonly faults: Map<'lead' | 'publish' | 'watch', string>;
  /** The bus was made anew: nothing more goes there before the log's beginning. Set by busIsNew, cleared by who replays. */
  replay: boolean;
  /** The connection over which the bus was last seen to be the one we know. */
  line: number | undefined;
};
