import { fold, type Decider, type Decision, type Rejection } from '@chrysalis/kernel';
import type pg from 'pg';
import { ConcurrentAppend } from './errors.ts';
import type { EventStore } from './event-store.ts';
import type { NewEvent, StoredEvent } from './types.ts';

export type Decided<S, E, R extends Rejection> =
  | { readonly ok: true; readonly events: readonly E[]; readonly version: number; readonly state: S }
  | { readonly ok: false; readonly rejection: R | Contended | VersionMismatch };

/** Others appended to the stream each time we had decided. Nothing was written; trying again later is safe. */
export type Contended = { readonly code: 'service.contended'; readonly stream: string; readonly attempts: number };

/** The stream is not at the version the caller had seen (If-Match). */
export type VersionMismatch = {
  readonly code: 'stream.version_mismatch';
  readonly stream: string;
  readonly expected: number;
  readonly actual: number;
};

/**
 * What events of the stream lead to, up to a version: only what came after is read, and not even that where it is `current`, as the
 * caller holds what guards the stream and saw its version there. Where that was wrong the append says so.
 */
export type Known<S> = { readonly state: S; readonly version: number; readonly current?: boolean };

export type DecideAndAppend<C, S, E, R extends Rejection> = {
  readonly store: EventStore;
  readonly stream: string;
  readonly decider: Decider<C, S, E, Decision<E, R>>;
  readonly command: C;
  /** Gives the decided events their ids and meta. */
  readonly toEvents: (events: readonly E[], command: C) => readonly NewEvent[];
  /** From a stored event to the decider's own; by default its type and data. */
  readonly fromStored?: (event: StoredEvent) => E;
  /** Decisions at most, 5 unless told. */
  readonly attempts?: number;
  /** Decide only if the stream is at this version; else `stream.version_mismatch`. */
  readonly ifVersion?: number;
  readonly known?: Known<S>;
  readonly tx?: pg.PoolClient;
};

/** Load, fold, decide, append at the version decided on; after a conflict all of it again. In `tx` contention is thrown, as by `append`. */
export const decideAndAppend = async <C, S, E, R extends Rejection>(o: DecideAndAppend<C, S, E, R>): Promise<Decided<S, E, R>> => {
  const { store, stream, decider, command, attempts = 5, fromStored = plain<E>, tx } = o;
  const from: Known<S> = o.known ?? { state: decider.initial, version: 0 };
  for (let attempt = 1; attempt <= attempts; attempt++) {
    const history = await after(from, attempt, o);
    const actual = from.version + history.length;
    if (o.ifVersion !== undefined && o.ifVersion !== actual)
      return { ok: false, rejection: { code: 'stream.version_mismatch', stream, expected: o.ifVersion, actual } };
    const state = fold(decider.evolve, from.state, history.map(fromStored));
    const decision = decider.decide(command, state);
    if (!decision.ok) return decision;
    const { events } = decision;
    if (events.length === 0) return { ok: true, events, version: actual, state };
    const appended = await store.append({ stream, expected: actual, events: o.toEvents(events, command) }, tx);
    if (appended.ok) return { ok: true, events, version: actual + events.length, state: fold(decider.evolve, state, events) };
  }
  // In a transaction nobody but its owner can do more than we have done: all of it again, as after any lost race.
  if (tx) throw new ConcurrentAppend([stream]);
  return { ok: false, rejection: { code: 'service.contended', stream, attempts } };
};

const after = async (
  { version, current = false }: Omit<Known<unknown>, 'state'>,
  attempt: number,
  { store, stream, tx }: { readonly store: EventStore; readonly stream: string; readonly tx?: pg.PoolClient },
): Promise<readonly StoredEvent[]> => (current && attempt === 1 ? [] : store.read(stream, { from: version + 1 }, tx));

const plain = <E>(event: StoredEvent): E => ({ type: event.type, data: event.data }) as E;
