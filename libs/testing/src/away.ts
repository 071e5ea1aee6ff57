import type pg from 'pg';

/** The same object with these methods in place of its own; all else goes to it as it is. */
export const withMethods = <T extends object>(target: T, methods: Partial<T>): T =>
  new Proxy(target, {
    get: (of, name) => {
      if (Object.hasOwn(methods, name)) return methods[name as keyof T];
      const value = Reflect.get(of, name, of) as unknown;
      return typeof value === 'function' ? (value.bind(of) as unknown) : value;
    },
  });

/** A bus, or whatever else, that can go away and come back: while it is away, these methods of `it` reject with `why`. */
export const canBeAway = <T extends object>(target: T, why: string, ...methods: (keyof T & string)[]) => {
  const state = { it: target, away: false };
  const failing = methods.map((name) => [
    name,
    (...args: unknown[]): unknown =>
      state.away ? Promise.reject(new Error(why)) : (target[name] as (...given: unknown[]) => unknown)(...args),
  ]);
  state.it = withMethods(target, Object.fromEntries(failing) as Partial<T>);
  return state;
};

/** Ends connections to this database, as a fault of the network would: those of which `which`, a condition on `pg_stat_activity`, is true. How many. */
export const cutConnections = async (db: Pick<pg.ClientBase, 'query'>, which: string): Promise<number> =>
  (await db.query(`select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() and (${which})`))
    .rowCount ?? 0;
