import { badQuery, reachOf, type Caller } from '@chrysalis/service-kit';
import type { ReadModels } from './read-models.ts';

export type FeedEntry = {
  readonly position: string;
  readonly id: string;
  readonly type: string;
  readonly stream: string;
  readonly version: number;
  readonly at: string;
  readonly tenant: string;
  readonly actor: string;
  readonly correlationId: string;
  readonly causationId: string | null;
  readonly data: unknown;
};

export type FeedQuery = {
  readonly after: string;
  readonly limit?: number;
  readonly streams?: readonly string[];
  /** Types that begin so, e.g. `chrysalis.provisioning.vm.`. */
  readonly type?: string;
  readonly caller: Caller;
};

export const readFeed = async (reads: ReadModels, { after, limit = 500, streams, type, caller }: FeedQuery): Promise<FeedEntry[]> => {
  const values: unknown[] = [after, limit];
  const where = ['position > $1'];
  if (streams) where.push(`stream = any($${values.push(streams)}::text[])`);
  if (type) where.push(`starts_with(type, $${values.push(type)})`);
  const tenant = reachOf(caller);
  if (tenant !== undefined) where.push(`tenant = $${values.push(tenant)}`);
  const { rows } = await reads.query<Omit<FeedEntry, 'at'> & { at: Date }>(
    `select position::text, event_id as id, type, stream, version, at, tenant, actor, correlation_id as "correlationId",
       causation_id as "causationId", data
     from read.feed where ${where.join(' and ')} order by read.feed.position limit $2`,
    values,
  );
  return rows.map((r) => ({ ...r, at: r.at.toISOString() }));
};

export const lastPosition = async (reads: ReadModels): Promise<string> =>
  (await reads.query<{ position: string }>('select coalesce(max(position), 0)::text as position from read.feed', [])).rows[0]!.position;

/** The position a reader has seen, from `Last-Event-ID`. */
export const positionOf = (text: string | undefined): string | undefined => {
  if (text === undefined || text === '') return undefined;
  if (!/^\d{1,18}$/.test(text)) throw badQuery({ path: 'Last-Event-ID', message: 'the id of an event of this stream' });
  return text;
};
