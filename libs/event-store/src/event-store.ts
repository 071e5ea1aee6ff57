import type { Queryable } from './queryable.ts';
import type pg from 'pg';
import { isContention, Turns } from './contention.ts';
import { ConcurrentAppend, isTransient, isUndone, isVersionRace } from './errors.ts';
import { GroupCommit } from './group-commit.ts';
import { inTransaction } from './in-transaction.ts';
import { checkShape, outcome } from './outcome.ts';
import * as appendSql from './sql/append.ts';
import { appendGroup, appendGroupBeside, appendGroupValues, type Beside } from './sql/append-group.ts';
import { toEvent, type Row } from './sql/columns.ts';
import * as checkpoint from './sql/checkpoint.ts';
import * as idempotency from './sql/idempotency.ts';
import { identifier } from './sql/identifier.ts';
import { firstSeen } from './sql/inbox.ts';
import { readAll } from './sql/read-all.ts';
import * as readSql from './sql/read.ts';
import type { Append, Appended, Position, StoredEvent } from './types.ts';
import type { Upcast } from './upcast.ts';

export type EventStoreOptions = {
  /** Applied to every event read. See upcast.ts. */
  readonly upcast?: Upcast;
  /** Sends a NOTIFY with each append, a hint for a relay that polls in another process. Off: it costs every commit a lock. */
  readonly notify?: boolean;
};

export type Remembered = { readonly kind: 'none' } | { readonly kind: 'answer'; readonly answer: unknown } | { readonly kind: 'mismatch' };

export type { Beside } from './sql/append-group.ts';

export type Statement = { readonly name: string; readonly text: string };

/** The log of one service, in its schema. Every method but `transaction` takes a caller's transaction as its last argument. */
export class EventStore {
  readonly #sql: Readonly<Record<keyof ReturnType<typeof statements>, Statement>>;
  readonly #listeners = new Set<() => void>();
  readonly #group = new GroupCommit({
    together: (lists) => this.#appendTogether(lists),
    alone: (list) => this.#appendAlone(list),
    undone: isUndone,
  });

  constructor(
    readonly pool: pg.Pool,
    readonly schema: string,
    readonly options: EventStoreOptions = {},
  ) {
    this.#sql = statements(identifier(schema));
  }

  /**
   * Appends all or nothing. A conflict is an answer, and leaves a caller's transaction usable. In a caller's transaction a true race
   * with another ends in `ConcurrentAppend`; alone it is answered as the conflict it is, or done again where any version would do.
   * Without a transaction, calls of the same moment share a commit: see group-commit.ts.
   */
  async append(appends: Append | readonly Append[], tx?: pg.PoolClient): Promise<Appended> {
    const list = (Array.isArray(appends) ? appends : [appends]) as readonly Append[];
    checkShape(list);
    return tx ? this.#appendIn(tx, list) : this.#group.append(list);
  }

  /** The same as `append`, at once and in a commit of its own: for a caller that gathers what goes together by itself. */
  async appendAtOnce(append: Append): Promise<Appended> {
    return this.#appendAlone([append]);
  }

  async #appendAlone(list: readonly Append[]): Promise<Appended> {
    for (let attempt = 1; ; attempt++) {
      try {
        const appended = await this.#appendOnce(this.pool, list);
        if (appended.ok) this.#appended();
        return appended;
      } catch (error) {
        if (!isVersionRace(error) && !isTransient(error)) throw error;
        const conflict = await this.#conflictNow(list);
        if (conflict) return { ok: false, conflict };
        if (attempt === 50) throw error;
      }
    }
  }

  async #appendTogether(lists: readonly (readonly Append[])[]): Promise<readonly Appended[]> {
    const { rows } = await this.pool.query<{ version: number }>(this.#sql.appendGroup, appendGroupValues(lists));
    const before = new Map(lists.flat().map(({ stream }, i) => [stream, rows[i]!.version]));
    const answers = lists.map((list) => outcome(list, before));
    if (answers.some((answer) => answer.ok)) this.#appended();
    return answers;
  }

  /** A statement for `appendBeside`, made once. */
  beside(beside: Beside): Statement {
    return appendGroupBeside(identifier(this.schema), beside);
  }

  /**
   * Appends, each with its own verdict, in one statement with what the caller writes beside them: one commit, one round trip. No stream
   * may be named twice. Throws where a stream is held or a race was lost (then nothing was done, see `isUndone`): it is not tried again.
   */
  async appendBeside(
    statement: Statement,
    appends: readonly Append[],
    values: readonly unknown[],
  ): Promise<{ readonly answers: readonly Appended[]; readonly answer: unknown }> {
    if (appends.length > 0) checkShape(appends);
    const lists = appends.map((append) => [append]);
    type Row = { versions: number[] | null; answer: unknown };
    const { rows } = await this.pool.query<Row>(statement, [...appendGroupValues(lists), ...values]);
    const { versions, answer } = rows[0]!;
    const answers = lists.map((list, i) => outcome(list, new Map([[list[0]!.stream, versions![i]!]])));
    if (answers.some((a) => a.ok)) this.#appended();
    return { answers, answer };
  }

  async #appendIn(tx: pg.PoolClient, list: readonly Append[]): Promise<Appended> {
    try {
      return await this.#appendOnce(tx, list);
    } catch (error) {
      throw isVersionRace(error) ? new ConcurrentAppend(list.map((a) => a.stream)) : error;
    }
  }

  async #appendOnce(queryable: Queryable, list: readonly Append[]): Promise<Appended> {
    const [only] = list;
    if (list.length > 1 || !only || only.events.length === 0) return this.#appendMany(queryable, list);
    const [kind, values] = forOne(only);
    const known = typeof only.expected === 'number' || only.expected === 'noStream';
    const { rows, rowCount } = await queryable.query<{ version: number }>(this.#sql[known ? kind : (`${kind}Telling` as const)], values);
    const version = known ? appendSql.expectation(only.expected) + only.events.length : Math.max(0, ...rows.map((row) => row.version));
    if (rowCount) return { ok: true, versions: { [only.stream]: version } };
    const actual = (await this.#versions(queryable, [only.stream])).get(only.stream) ?? 0;
    return { ok: false, conflict: { stream: only.stream, expected: only.expected, actual } };
  }

  async #appendMany(queryable: Queryable, list: readonly Append[]): Promise<Appended> {
    const { rows } = await queryable.query<{ stream_id: string; version: number }>(this.#sql.append, appendSql.appendValues(list));
    return outcome(list, new Map(rows.map((row) => [row.stream_id, row.version])));
  }

  async #versions(queryable: Queryable, streams: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const { rows } = await queryable.query<{ stream_id: string; version: number }>(this.#sql.versions, [streams]);
    return new Map(rows.map((row) => [row.stream_id, row.version]));
  }

  /** After a lost race: the conflict as it stands now, or nothing if the expectations hold (again). */
  async #conflictNow(list: readonly Append[]): Promise<Extract<Appended, { ok: false }>['conflict'] | undefined> {
    const now = outcome(
      list,
      await this.#versions(
        this.pool,
        list.map((a) => a.stream),
      ),
    );
    return now.ok ? undefined : now.conflict;
  }

  /** `from` and `to` are versions, both included; `asOf` is an ISO moment, and the events up to it are read. */
  async read(stream: string, options: { from?: number; to?: number; asOf?: string } = {}, tx?: pg.PoolClient): Promise<StoredEvent[]> {
    const { from = 1, to = 2147483647, asOf } = options;
    const [statement, values] = asOf === undefined ? [this.#sql.read, [stream, from, to]] : [this.#sql.readAsOf, [stream, from, to, asOf]];
    return this.#events(await (tx ?? this.pool).query<Row>(statement, values));
  }

  /** The log in an order that no later commit changes; an empty answer is the end for now. Go on from the last event's place. */
  async readAll(after: Position, limit: number, tx?: pg.PoolClient): Promise<StoredEvent[]> {
    return this.#events(await (tx ?? this.pool).query<Row>(this.#sql.readAll, [after.transactionId, after.position, limit]));
  }

  #events({ rows }: pg.QueryResult<Row>): StoredEvent[] {
    return rows.map((row) => this.upcast(toEvent(row)));
  }

  /** The newest version of an event that this store, or a table beside it, holds. */
  upcast<E extends { readonly type: string; readonly data: unknown }>(event: E): E {
    return this.options.upcast?.(event) ?? event;
  }

  /**
   * Commits what `work` returns from, rolls back what it throws from. `attempts` above 1 runs `work` again where others did the same at the
   * same time (`isContention`), after a pause that chance decides, and in turn with others who lost the same race.
   */
  async transaction<T>(work: (tx: pg.PoolClient) => Promise<T>, { attempts = 1 }: { attempts?: number } = {}): Promise<T> {
    const turns = new Turns(this.schema);
    for (let attempt = 1; ; attempt++) {
      try {
        const result = await inTransaction(this.pool, async (tx) => {
          await turns.take(tx);
          return work(tx);
        });
        this.#appended();
        return result;
      } catch (error) {
        if (attempt >= attempts || !isContention(error)) throw error;
        await turns.lost(error, attempt);
      }
    }
  }

  /** The inbox: true exactly once per consumer and event, if the transaction commits. */
  async firstSeen(tx: pg.PoolClient, consumer: string, eventId: string): Promise<boolean> {
    return (await this.firstSeenOf(tx, consumer, [eventId])).has(eventId);
  }

  async firstSeenOf(tx: pg.PoolClient, consumer: string, eventIds: readonly string[]): Promise<ReadonlySet<string>> {
    const { rows } = await tx.query<{ event_id: string }>(this.#sql.firstSeen, [consumer, eventIds]);
    return new Set(rows.map((row) => row.event_id));
  }

  /** Keeps the answer to an idempotent request; false if the key has one already (then roll back and recall it). */
  // eslint-disable-next-line max-params -- a row of the table, column by column
  async rememberAnswer(
    tx: pg.PoolClient,
    key: string,
    tenant: string,
    route: string,
    requestHash: string,
    answer: unknown,
  ): Promise<boolean> {
    const { rowCount } = await tx.query(this.#sql.remember, [tenant, key, route, requestHash, JSON.stringify(answer)]);
    return rowCount === 1;
  }

  /** `mismatch`: the key was used for another request. */
  async recallAnswer(tx: Queryable, key: string, tenant: string, route: string, requestHash: string): Promise<Remembered> {
    const { rows } = await tx.query<{ route: string; request_hash: string; answer: unknown }>(this.#sql.recall, [tenant, key]);
    const [row] = rows;
    if (!row) return { kind: 'none' };
    return row.route === route && row.request_hash === requestHash ? { kind: 'answer', answer: row.answer } : { kind: 'mismatch' };
  }

  /** `age` is a PostgreSQL interval, e.g. `24 hours`. Returns how many answers were dropped. */
  async forgetAnswers(age: string): Promise<number> {
    return (await this.pool.query(this.#sql.forget, [age])).rowCount ?? 0;
  }

  async loadCheckpoint(name: string, tx?: pg.PoolClient): Promise<(Position & { detail: Record<string, unknown> }) | undefined> {
    type Saved = { transaction_id: string; position: string; detail: Record<string, unknown> };
    const { rows } = await (tx ?? this.pool).query<Saved>(this.#sql.loadCheckpoint, [name]);
    const [row] = rows;
    return row && { transactionId: row.transaction_id, position: row.position, detail: row.detail };
  }

  async saveCheckpoint(name: string, at: Position, detail?: Record<string, unknown>, tx?: pg.PoolClient): Promise<void> {
    await (tx ?? this.pool).query(this.#sql.saveCheckpoint, [name, at.transactionId, at.position, detail ? JSON.stringify(detail) : null]);
  }

  /** Moves a checkpoint only while its detail is still `known`; false if it is another, or there is none. */
  async moveCheckpoint(
    name: string,
    at: Position,
    known: Record<string, unknown>,
    detail: Record<string, unknown> = known,
  ): Promise<boolean> {
    const values = [name, at.transactionId, at.position, JSON.stringify(known), JSON.stringify(detail)];
    return (await this.pool.query(this.#sql.moveCheckpoint, values)).rowCount === 1;
  }

  /** Calls back after each commit that may have added events in this process: a wake-up, not a promise. Returns how to end it. */
  onAppend(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #appended(): void {
    for (const listener of this.#listeners) listener();
    if (this.options.notify) this.pool.query(`select pg_notify('${this.schema}_events', '')`).catch(() => undefined); // only a hint
  }
}

const statements = (schema: string) => ({
  append: appendSql.append(schema),
  appendGroup: appendGroup(schema),
  appendEvent: appendSql.appendEvent(schema),
  appendEventTelling: appendSql.telling(appendSql.appendEvent(schema)),
  appendStream: appendSql.appendStream(schema),
  appendStreamTelling: appendSql.telling(appendSql.appendStream(schema)),
  appendCommand: appendSql.appendCommand(schema),
  appendCommandTelling: appendSql.telling(appendSql.appendCommand(schema)),
  versions: appendSql.versions(schema),
  read: readSql.read(schema),
  readAsOf: readSql.readAsOf(schema),
  readAll: readAll(schema),
  firstSeen: firstSeen(schema),
  remember: idempotency.remember(schema),
  recall: idempotency.recall(schema),
  forget: idempotency.forget(schema),
  loadCheckpoint: checkpoint.loadCheckpoint(schema),
  saveCheckpoint: checkpoint.saveCheckpoint(schema),
  moveCheckpoint: checkpoint.moveCheckpoint(schema),
});

const forOne = (append: Append): ['appendEvent' | 'appendCommand' | 'appendStream', unknown[]] => {
  const { events } = append;
  const first = events[0]!;
  if (events.length === 1) return ['appendEvent', appendSql.appendEventValues(append, first)];
  if (events.every((e) => e.meta === first.meta)) return ['appendCommand', appendSql.appendCommandValues(append, first)];
  return ['appendStream', appendSql.appendStreamValues(append)];
};
