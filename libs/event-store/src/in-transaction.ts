import type pg from 'pg';
import type { Queryable } from './queryable.ts';

/** Committed when `work` has ended well, else rolled back. A connection that broke is not given to the next one. */
export const inTransaction = async <T>(pool: pg.Pool, work: (tx: pg.PoolClient) => Promise<T>): Promise<T> => {
  const tx = await pool.connect();
  let broken: Error | undefined;
  // A connection that dies between two queries says so by an event, and an unheard `error` event ends the process.
  const died = (error: Error): void => void (broken = error);
  tx.on('error', died);
  try {
    const begun = tx.query('begin');
    if (tx.pipeline)
      begun.catch(() => undefined); // goes out with the first statement, which fails where this does; heard of below
    else await begun;
    const result = await work(tx);
    await begun;
    await tx.query('commit');
    return result;
  } catch (error) {
    await tx.query('rollback').catch((e: Error) => (broken = e));
    throw error;
  } finally {
    tx.off('error', died);
    tx.release(broken);
  }
};

const pipelined = (tx: Queryable): boolean => (tx as Partial<pg.PoolClient>).pipeline === true;

/** Two statements that need not wait for each other, one each, so that none comes after the end of a transaction that the other failed: on their way at once where the connection is made for that, else one after the other. */
export const both = async <A, B>(tx: Queryable, first: () => Promise<A>, second: () => Promise<B>): Promise<[A, B]> =>
  pipelined(tx) ? Promise.all([first(), second()]) : [await first(), await second()];

/** The same for any number of one kind, in their order. */
export const atOnce = async <T>(tx: Queryable, works: readonly (() => Promise<T>)[]): Promise<T[]> => {
  if (pipelined(tx)) return Promise.all(works.map((work) => work()));
  const results: T[] = [];
  for (const work of works) results.push(await work());
  return results;
};
