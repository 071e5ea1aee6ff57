export * from './decider.ts';
export * from './kafka.ts';
export * from './postgres.ts';
