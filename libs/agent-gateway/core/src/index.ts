export * from './agent-identity.ts';
export * from './grant.ts';
export * from './needs.ts';
export * from './tenant-key.ts';
