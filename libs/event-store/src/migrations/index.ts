import { log } from './0001-log.ts';

/** In order, never edited once released: a change is a new entry. */
export const migrations: readonly { readonly name: string; readonly sql: (schema: string) => string }[] = [{ name: '0001-log', sql: log }];
