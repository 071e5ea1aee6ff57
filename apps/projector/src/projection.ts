import { kinds, type EventContract } from '@chrysalis/contracts';
import type { z } from 'zod';
import type { Recorded } from './recorded.ts';

export const tables = [
  'vms',
  'vm_observations',
  'host_inventory',
  'host_agents',
  'allocations',
  'pools',
  'pool_holds',
  'vm_types',
  'images',
  'templates',
  'options_queries',
  'characterisations',
  'plans',
  'migrations',
  'moves',
  'workflows',
  'workflow_graphs',
  'tasks',
  'operations',
  'grants',
  ...kinds.map((k) => k.plural),
] as const;
export type Table = (typeof tables)[number];

/** The document of a row. Everything a reader is shown is in here. */
export type Document = Readonly<Record<string, unknown>>;

/**
 * What an event does to one row: pure, from the row's document before (undefined: there was none). A row belongs to one stream, and
 * its version is the version of the last event of that stream it was made from. So rows of different streams never need each other,
 * and no order across streams is assumed.
 */
export type Change = {
  readonly table: Table;
  readonly id: string;
  readonly evolve: (before: Document | undefined) => Document;
};

export type Handler = { readonly contract: EventContract; readonly changes: (event: Recorded) => readonly Change[] };

/** Binds a contract to what its event changes. The data is parsed: what does not fit its contract is poison and is told apart early. */
export const on = <C extends EventContract>(
  contract: C,
  changes: (data: z.infer<C['schema']>, event: Recorded) => readonly Change[],
): Handler => ({ contract, changes: (event) => changes(contract.schema.parse(event.data) as z.infer<C['schema']>, event) });

/** A change that merges members into what is there. `undefined` takes a member away. */
export const merge = (table: Table, id: string, members: Document | ((before: Document) => Document)): Change => ({
  table,
  id,
  evolve: (before = {}) => withoutUndefined({ ...before, ...(typeof members === 'function' ? members(before) : members) }),
});

const withoutUndefined = (d: Document): Document => Object.fromEntries(Object.entries(d).filter(([, v]) => v !== undefined));
