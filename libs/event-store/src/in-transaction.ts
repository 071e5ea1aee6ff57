import type pg from 'pg';

/** Committed when `work` has ended well, else rolled back. A connection that broke is not given to the next one. */
export const inTransaction = async <T>(pool: pg.Pool, work: (tx: pg.PoolClient) => Promise<T>): Promise<T> => {
  const tx = await pool.connect();
  let broken: Error | undefined;
  // A connection that dies between two queries says so by an event, and an unheard `error` event ends the process.
  const died = (error: Error): void => void (broken = error);
  tx.on('error', died);
  try {
    await tx.query('begin');
    const result = await work(tx);
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
