/** What the API answers, each shape once: routes declare them, tests check answers by them, and the client's types are made from them. */
export * from './console.ts';
export * from './fleet.ts';
export * from './migrations.ts';
export * from './operations.ts';
export * from './pools.ts';
export * from './rows.ts';
export * from './services.ts';
export * from './workflows.ts';
export * from '../kinds/address/view.ts';
export * from '../kinds/network/view.ts';
export * from '../kinds/volume/view.ts';
