export * from './decide-and-append.ts';
export * from './errors.ts';
export * from './event-store.ts';
export * from './migrate.ts';
export * from './types.ts';
export * from './upcast.ts';
