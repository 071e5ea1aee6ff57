import { Mutex } from 'async-mutex';
import type pg from 'pg';

/** One connection used from several places: their queries go one after the other. */
export type Serial = <Row extends pg.QueryResultRow = pg.QueryResultRow>(text: string, values?: unknown[]) => Promise<pg.QueryResult<Row>>;

export const serial = (client: pg.Client): Serial => {
  const turn = new Mutex();
  return <Row extends pg.QueryResultRow>(text: string, values?: unknown[]) => turn.runExclusive(() => client.query<Row>(text, values));
};
