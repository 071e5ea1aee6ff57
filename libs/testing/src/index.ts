export * from './decider.ts';
export * from './postgres.ts';
