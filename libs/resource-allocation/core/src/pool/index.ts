export * from './decider.ts';
export * from './pool.ts';
