import { badQuery, reachOf, type Caller } from '@chrysalis/service-kit';
import type { ReadModels } from './read-models.ts';
import { selectFeed } from './select.ts';

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

const shown = ['position', 'type', 'stream', 'version', 'at', 'tenant', 'actor', 'correlationId', 'causationId', 'data'] as const;

export const readFeed = async (reads: ReadModels, { after, limit = 500, streams, type, caller }: FeedQuery): Promise<FeedEntry[]> => {
  const entries = selectFeed().where('row.position > :after', { after }).orderBy('row.position').limit(limit);
  entries.select('row.eventId', 'id');
  for (const column of shown) entries.addSelect(`row.${column}`, column);
  if (streams) entries.andWhere('row.stream = any(:streams)', { streams });
  if (type) entries.andWhere('starts_with(row.type, :type)', { type });
  const tenant = reachOf(caller);
  if (tenant !== undefined) entries.andWhere('row.tenant = :tenant', { tenant });
  const rows = await reads.rows<Omit<FeedEntry, 'at'> & { at: Date }>(entries);
  return rows.map((r) => ({ ...r, at: r.at.toISOString() }));
};

export const lastPosition = async (reads: ReadModels): Promise<string> =>
  (await reads.query<{ position: string }>('select coalesce(max(position), 0)::text as position from read.feed', [])).rows[0]!.position;

/** Of two positions. They become visible in their order: behind the last one that is seen nothing comes up to it. */
export const later = (a: string, b: string): string => (BigInt(a) < BigInt(b) ? b : a);

/** The position a reader has seen, from `Last-Event-ID`. */
export const positionOf = (text: string | undefined): string | undefined => {
  if (text === undefined || text === '') return undefined;
  if (!/^\d{1,18}$/.test(text)) throw badQuery({ path: 'Last-Event-ID', message: 'the id of an event of this stream' });
  return text;
};
