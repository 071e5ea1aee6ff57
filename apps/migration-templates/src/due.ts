import { every, type ServiceContext } from '@chrysalis/service-kit';
import type pg from 'pg';

const EVERY_MS = 500;
const AT_MOST = 100;

/** Of what waits in a table until its time has come. */
export type Due<T> = Readonly<{
  /** The next one, locked; none where another instance has it. */
  next: (tx: pg.PoolClient) => Promise<T | undefined>;
  goOn: (due: T, tx: pg.PoolClient) => Promise<unknown>;
  /** A fault holds it up, and not the others: it waits for a while. */
  putOff: (due: T, err: unknown) => Promise<unknown>;
}>;

/** What is due is looked at twice a second, one in a transaction, each by one instance at a time. */
export const lookAtDue = <T>(service: ServiceContext, due: Due<T>): (() => Promise<void>) =>
  every(EVERY_MS, service.log, async () => {
    for (let n = 0; n < AT_MOST && (await lookAtOne(service, due)); n++);
  });

const lookAtOne = async <T>({ store }: ServiceContext, { next, goOn, putOff }: Due<T>): Promise<boolean> => {
  let looked: T | undefined;
  try {
    return await store.transaction(
      async (tx) => {
        looked = await next(tx);
        if (looked !== undefined) await goOn(looked, tx);
        return looked !== undefined;
      },
      { attempts: 5 },
    );
  } catch (err) {
    if (looked === undefined) throw err;
    await putOff(looked, err);
    return true;
  }
};
