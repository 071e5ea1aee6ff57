import { FLEET_TENANT, type UnknownCode } from '@chrysalis/contracts';
import { cursorOf, namesOf, ProblemError, reachOf, type Caller } from '@chrysalis/service-kit';
import type { ReadModel } from '@chrysalis/service-kit/read-models';
import type pg from 'pg';
import type { ObjectLiteral, SelectQueryBuilder } from 'typeorm';
import { z } from 'zod';
import { selectFrom } from './select.ts';
import type { Model } from './tables.ts';
import type { Wake } from './wake.ts';

export type Document = Readonly<Record<string, unknown>>;
export type Found = Document & { readonly version: number; readonly createdAt: string; readonly updatedAt: string };
export type Page = { readonly items: readonly Found[]; readonly next?: string };
export type Query = Readonly<Record<string, string | undefined>>;

/** A thing just asked for may not be projected yet: so long a read of it waits before it says no. */
const FRESH_MS = 60_000;
const WAIT_MS = 3_000;
/** No read takes so long; a connection that is gone without a word would. */
const READ_MS = 20_000;

/** Reads of the projector's tables. Tenants see what is theirs and what is shared; the fleet's administration sees all. */
export class ReadModels {
  #lastCommand = 0;

  constructor(
    private readonly pool: pg.Pool,
    private readonly wake: Wake,
  ) {}

  /** A command went through this door: names it may have made are waited for, too. */
  commandPassed(): void {
    this.#lastCommand = Date.now();
  }

  /** The row, or the problem that there is none. What was made a moment ago is waited for, so that a read after a 202 finds it. */
  async one(model: Model, id: string, caller: Caller): Promise<Found> {
    const look = (): Promise<Found | undefined> => this.find(model, id, caller);
    const found = (await look()) ?? (this.#mayBeComing(id) ? await this.wake.until(WAIT_MS, look) : undefined);
    if (!found) throw unknown(model.unknown, id, (model.owner !== 'tenant' || model.andFleets) && (await this.#names(model, caller)));
    return found;
  }

  /** Of what is no tenant's own, as far as the caller sees it: for a refusal that says what there is. */
  async #names(model: Model, caller: Caller): Promise<string[]> {
    const names = seenBy(model, caller).select('row.id', 'id').orderBy('row.id').limit(100);
    return (await this.rows<{ id: string }>(names)).map((r) => r.id);
  }

  async find(model: Model, id: string, caller: Caller): Promise<Found | undefined> {
    const [row] = await this.rows<Raw>(whole(seenBy(model, caller)).andWhere('row.id = :id', { id }));
    return row && toFound(row);
  }

  /** Newest first. `?limit=`, `?cursor=` from the page before, and the model's filters. */
  async list(model: Model, query: Query, caller: Caller): Promise<Page> {
    const limit = Number(query['limit'] ?? 100); // the route's document says what it may be
    const listed = whole(seenBy(model, caller), model.heavy).limit(limit + 1);
    listed.orderBy('row.createdAt', 'DESC').addOrderBy('row.id', 'DESC');
    narrow(listed, model, query);
    if (query['cursor'] !== undefined) {
      const [at, id] = Cursor.read(query['cursor']);
      listed.andWhere('(row.createdAt, row.id) < (:at, :id)', { at, id });
    }
    const rows = await this.rows<Raw>(listed);
    const page = rows.slice(0, limit);
    const last = page.at(-1);
    return {
      items: page.map(toFound),
      ...(rows.length > limit && last ? { next: Cursor.write([last.created_at.toISOString(), last.id]) } : {}),
    };
  }

  /** What a query of the builder finds, as it was selected. */
  async rows<T>(select: SelectQueryBuilder<ObjectLiteral>): Promise<T[]> {
    const [text, values] = select.getQueryAndParameters();
    return (await this.query<T>(text, values)).rows;
  }

  async query<T>(text: string, values: readonly unknown[]): Promise<{ rows: T[] }> {
    try {
      return (await this.pool.query({ text, values: [...values], query_timeout: READ_MS } as pg.QueryConfig)) as unknown as { rows: T[] };
    } catch (error) {
      // 42P01, 3F000: the projector has not made its tables yet.
      if (!['42P01', '3F000'].includes((error as { code?: string }).code ?? '')) throw error;
      throw ProblemError.of({ code: 'service.unavailable', message: 'The read models are not there yet: the projector is starting' });
    }
  }

  #mayBeComing(id: string): boolean {
    const made = timeOfId(id);
    return made === undefined ? Date.now() - this.#lastCommand < WAIT_MS : Math.abs(Date.now() - made) < FRESH_MS;
  }
}

/** To what the model's filters say. */
const narrow = (listed: SelectQueryBuilder<ObjectLiteral>, model: Model, query: Query): void => {
  for (const [name, column] of Object.entries(model.filters ?? {}))
    if (query[name] && query[name] !== 'all') listed.andWhere(`row.${column} = :${name}`, { [name]: query[name] });
  for (const [at, label] of (model.labelled && query['label'] ? query['label'].split(',') : []).entries())
    listed.andWhere(`row.data -> 'labels' @> cast(:label${at} as jsonb)`, { [`label${at}`]: labelOf(label) });
  for (const [name, condition] of Object.entries(model.unless ?? {})) if (!query[name]) listed.andWhere(condition);
};

/** `team=web` as PostgreSQL looks for it. A label has no `,`, and its value no `=`. */
const labelOf = (text: string): string => {
  const at = text.indexOf('=');
  return JSON.stringify({ [text.slice(0, at)]: text.slice(at + 1) });
};

/** The thing that a path names: another tenant's is as unknown as none. */
export const unknown = (code: UnknownCode, id: string, known?: readonly string[]): ProblemError =>
  ProblemError.of({
    code,
    message: `No ${code.slice(0, code.indexOf('.'))} \`${id}\` that you may see${known ? `; ${namesOf(known)}` : ''}`,
    ...(known ? { known } : {}),
  });

type Raw = { id: string; version: number; created_at: Date; updated_at: Date; data: Document };
const toFound = (r: Raw): Found => ({
  ...r.data,
  version: r.version,
  createdAt: r.created_at.toISOString(),
  updatedAt: r.updated_at.toISOString(),
});

/** Those that the caller may see. */
const seenBy = (model: Model, caller: Caller): SelectQueryBuilder<ReadModel> => {
  const rows = selectFrom(model.table);
  const tenant = reachOf(caller);
  if (model.owner !== 'tenant' || tenant === undefined) return rows;
  return rows.where('row.tenant = any(:tenants)', { tenants: model.andFleets ? [tenant, FLEET_TENANT] : [tenant] });
};

/** With everything that a reader is shown; `without`: members of the document that it does without. */
const whole = (rows: SelectQueryBuilder<ReadModel>, without: readonly string[] = []): SelectQueryBuilder<ReadModel> =>
  rows
    .select('row.id', 'id')
    .addSelect('row.version', 'version')
    .addSelect('row.createdAt', 'created_at')
    .addSelect('row.updatedAt', 'updated_at')
    .addSelect(['row.data', ...without.map((member) => `'${member}'`)].join(' - '), 'data');

/** A moment of PostgreSQL's and an id: those of the last row. */
const Cursor = cursorOf(z.tuple([z.iso.datetime().refine((at) => !at.startsWith('0000')), z.string().max(255)]));

/** Milliseconds in the UUIDv7 of an id such as `op-0199…`; undefined where there is none. */
const timeOfId = (id: string): number | undefined => {
  const hex = /([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/.exec(id);
  return hex ? Number.parseInt(hex[1]! + hex[2]!, 16) : undefined;
};
