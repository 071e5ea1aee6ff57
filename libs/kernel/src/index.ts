export * from './decision.ts';
export * from './fold.ts';
export * from './json.ts';
