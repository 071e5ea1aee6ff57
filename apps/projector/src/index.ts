export { READ_SCHEMA, start } from './main.ts';
export { hashes } from './hash.ts';
export { rebuild, type RebuildReport } from './rebuild.ts';
