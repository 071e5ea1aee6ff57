import type { TaskOffer } from '@chrysalis/contracts';
import type pg from 'pg';

/** By PostgreSQL's clock, which the windows are counted by: `leftMs` until an offer closes. */
export type OpenOffer = { readonly offer: TaskOffer; readonly leftMs: number };
export const offerKey = (o: Pick<TaskOffer, 'workflowId' | 'task' | 'offer'>): string => `${o.workflowId}/${o.task}/${o.offer}`;

/** Read at most this many at a time: the soonest to close first. */
const MOST = 2_000;

/** Milliseconds until it closes; undefined where it is over, or kept already. */
export const keepOffer = async (tx: pg.PoolClient, offer: TaskOffer): Promise<number | undefined> => {
  const { rows } = await tx.query<{ left_ms: number }>({
    name: 'keep_open_offer',
    text: `insert into agent_gateway.open_offers (offer_key, offer, closes_at)
           select $1, $2, $3::timestamptz where $3::timestamptz > clock_timestamp() on conflict do nothing
           returning (extract(epoch from closes_at - clock_timestamp()) * 1000)::float8 as left_ms`,
    values: [offerKey(offer), JSON.stringify(offer), offer.closesAt],
  });
  return rows[0]?.left_ms;
};

export const openOffers = async (db: pg.Pool): Promise<readonly OpenOffer[]> => {
  const { rows } = await db.query<OpenOffer>({
    name: 'open_offers',
    text: `select offer, (extract(epoch from closes_at - clock_timestamp()) * 1000)::float8 as "leftMs"
           from agent_gateway.open_offers where closes_at > clock_timestamp() order by closes_at limit $1`,
    values: [MOST],
  });
  return rows;
};

export const forgetClosed = (db: pg.Pool): Promise<unknown> =>
  db.query(`delete from agent_gateway.open_offers where closes_at < now() - interval '1 minute'`);
