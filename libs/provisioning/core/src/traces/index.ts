export * from './judge.ts';
export * from './report.ts';
