export * from './fixtures.ts';
export * from './shapes.ts';
