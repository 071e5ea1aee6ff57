export { isContention } from './contention.ts';
export * from './decide-and-append.ts';
export * from './errors.ts';
export * from './event-store.ts';
export * from './in-transaction.ts';
export * from './migrate.ts';
export { toEvent, type Row as EventRow } from './sql/columns.ts';
export * from './types.ts';
export * from './upcast.ts';
