import pg from 'pg';
import { backoff, messageOf, Pause } from './pause.ts';
import { runLogical } from './relay/logical.ts';
import { runPoll } from './relay/poll.ts';
import type { Lead } from './relay/publisher.ts';
import { logicalPossible } from './relay/slot.ts';
import type { Relay, RelayOptions, RelayState } from './relay/types.ts';
import { serial, type Serial } from './serial.ts';

export type { Relay, RelayOptions, RelayStatus } from './relay/types.ts';

/** A standby looks this often whether the lead is free: it takes over well within 5 s of the leader's end. */
const standbyMs = 500;
/** A leader that has not said anything for so long hangs: its connection is ended for it. */
const hungMs = 4_000;

/**
 * Carries a schema's events to the bus, in order, each at least once. Any number may be started: one leads, by a lock on its
 * connection, the others stand by. Resolves when it runs, leading or not.
 */
export const startRelay = async (options: RelayOptions): Promise<Relay> => {
  const state: RelayState = {
    options,
    connection: options.connection ?? connectionOf(options.store.pool),
    stopped: false,
    leader: false,
    mode: options.mode === 'poll' ? 'poll' : 'logical',
    published: 0,
    pending: 0,
    lagBytes: undefined,
    faults: new Map(),
    replay: false,
    line: undefined,
  };
  const control: Control = { cut: () => undefined, abandon: () => undefined };
  const pause = new Pause();
  const running = elect(state, control, pause);
  return {
    stop: async () => {
      state.stopped = true;
      pause.cut();
      control.cut();
      const stuck = setTimeout(() => control.abandon(), 2_000);
      await running;
      clearTimeout(stuck);
    },
    health: () => {
      const { lagAlarmBytes = 256 * 1024 * 1024 } = options;
      const [fault] = state.faults.values();
      if (fault !== undefined) return { ok: false, reason: fault };
      if ((state.lagBytes ?? 0) > lagAlarmBytes) return { ok: false, reason: `the relay is ${state.lagBytes} bytes behind` };
      return { ok: true };
    },
    status: () => ({
      role: state.leader ? 'leader' : 'standby',
      mode: state.mode,
      published: state.published,
      pending: state.pending,
      ...(state.lagBytes === undefined ? {} : { lagBytes: state.lagBytes }),
    }),
  };
};

const connectionOf = (pool: pg.Pool): pg.ClientConfig => {
  const { connectionString, host, port, user, password, database } = pool.options as pg.PoolConfig;
  return connectionString === undefined ? ({ host, port, user, password, database } as pg.ClientConfig) : { connectionString };
};

/** `abandon` closes the connection under a query that waits for something, as making a slot does for every open transaction. */
type Control = { cut: () => void; abandon: () => void };

const elect = async (state: RelayState, control: Control, pause: Pause): Promise<void> => {
  for (let failures = 0; !state.stopped;) {
    const client = new pg.Client({ ...state.connection, keepAlive: true, application_name: `chrysalis-relay-${state.options.schema}` });
    let broken = false;
    let ended = false;
    const lost = (): void => {
      broken = true;
      // Whichever of the two connections goes first: until it leads or stands by again, nothing is carried.
      if (!state.stopped && !ended) state.faults.set('lead', 'the connection to PostgreSQL was lost');
      control.cut();
      pause.cut();
    };
    control.abandon = () => (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
    client.on('error', lost);
    client.on('end', lost);
    try {
      await client.connect();
      const query = serial(client);
      if (await takeLead(state, query, pause, () => broken)) {
        failures = 0;
        await lead(state, query, { lost: () => broken || state.stopped }, control);
      }
    } catch (error) {
      if (!state.stopped) state.faults.set('lead', messageOf(error));
      await pause.wait(backoff(++failures, 100, 2_000));
    } finally {
      state.leader = false;
      // The next leader's matter, who may be another.
      state.faults.delete('publish');
      state.faults.delete('watch');
      control.cut = () => undefined;
      ended = true;
      await client.end().catch(() => undefined);
    }
  }
};

const lockKey = (state: RelayState): string => `chrysalis relay ${state.options.schema}`;

const takeLead = async (state: RelayState, query: Serial, pause: Pause, broken: () => boolean): Promise<boolean> => {
  while (!state.stopped && !broken()) {
    const { rows } = await query<{ locked: boolean }>('select pg_try_advisory_lock(hashtextextended($1, 0)) as locked', [lockKey(state)]);
    if (rows[0]!.locked) return true;
    await endHungLeader(query, lockKey(state));
    state.faults.delete('lead');
    await pause.wait(standbyMs);
  }
  return false;
};

/** The leader says something over its connection every second (see `lead`); one that does not is stopped or stuck, lock in hand. */
const endHungLeader = async (query: Serial, key: string): Promise<void> => {
  await query(
    `select pg_terminate_backend(a.pid) from pg_locks l join pg_stat_activity a using (pid)
     where l.locktype = 'advisory' and l.granted and l.database = (select oid from pg_database where datname = current_database())
       and (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended($1, 0) and l.objsubid = 1
       and a.state_change < clock_timestamp() - make_interval(secs => ${hungMs / 1000})`,
    [key],
  );
};

const lead = async (state: RelayState, query: Serial, held: Lead, control: Control): Promise<void> => {
  state.leader = true;
  const beat = setInterval(() => void query('select 1').catch(() => undefined), 1_000);
  const cutWith = (cut: () => void): void => void (control.cut = cut);
  try {
    if (state.options.mode !== 'poll') {
      const obstacle = await logicalPossible(query);
      if (obstacle === undefined) {
        state.mode = 'logical';
        return await runLogical(state, query, held, cutWith);
      }
      if (state.options.mode === 'logical') throw new Error(`logical replication cannot be had: ${obstacle}`);
    }
    state.mode = 'poll';
    await runPoll(state, held, cutWith);
  } finally {
    clearInterval(beat);
  }
};
