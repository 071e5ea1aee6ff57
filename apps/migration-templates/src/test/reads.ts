import type { Amounts } from '@chrysalis/contracts';
import { migrationDecider, optionsQueryDecider, waiting } from '@chrysalis/migration-templates-core';
import type { ServiceContext } from '@chrysalis/service-kit';
import { foldOf } from '../http/lookups.ts';
import { tasksOf } from '../sql/moves.ts';

export type Vm = { id: string; host: string; type: string; epoch: number; status: string; version: number; move?: object };
export type Hold = { host: string; consumer: string; vm: string } & Amounts;

/** What services hold, read where it stands, in their tables and logs: an operator sees it through the read models, which run elsewhere. */
export const readsOf = ({ store, pool, schema }: ServiceContext) => ({
  /** As provisioning decides about it. */
  vm: async (vmId: string): Promise<Vm> =>
    (await pool.query<{ view: Vm }>('select view from provisioning.vms where vm = $1', [vmId])).rows[0]!.view,
  hosts: async (): Promise<number> => (await pool.query('select from resource_allocation.hosts')).rowCount!,
  /** The ledger, by host and consumer. */
  holds: async (): Promise<Hold[]> => {
    const { rows } = await pool.query<Hold>(
      `select host, consumer, vm, vcpu::int, memory_mib::int as "memoryMiB", disk_mib::int as "diskMiB"
       from resource_allocation.ledger order by host, consumer`,
    );
    return rows;
  },
  /** A migration by its stream, each move with its steps. */
  migration: async (migrationId: string) => {
    const s = foldOf(migrationDecider, await store.read(`migration-${migrationId}`));
    if (s.status === 'none') throw new Error(`there is no migration ${migrationId}`);
    const tasks = await tasksOf(
      pool,
      schema,
      s.moves.map((m) => m.moveId),
    );
    const stepsOf = (moveId: string, ended: boolean) =>
      tasks
        .filter((t) => t.move_id === moveId)
        .map((t) => ({
          name: t.task,
          state: ended && t.state === 'pending' ? 'skipped' : t.state,
          ms: t.started_at && t.ended_at ? t.ended_at.getTime() - t.started_at.getTime() : 0,
        }));
    return {
      migrationId,
      state: s.status,
      cause: s.moves.find((m) => m.cause)?.cause,
      waiting: waiting(s),
      cancelled: s.cancelled,
      moves: s.moves.map((m) => ({ ...m, steps: stepsOf(m.moveId, m.state !== 'running') })),
    };
  },
  /** A query for options by its stream, with its answer. */
  query: async (queryId: string) => {
    const s = foldOf(optionsQueryDecider, await store.read(`options-query-${queryId}`));
    if (s.status === 'none') throw new Error(`there is no query ${queryId}`);
    return {
      state: s.status,
      cause: s.cause,
      options: s.answer?.options ?? [],
      refused: s.answer?.refused ?? [],
      source: s.answer?.source,
    };
  },
  /** Names and newest versions of templates, by name. */
  templates: async (): Promise<{ ref: string; spec: object; retired: boolean }[]> =>
    (
      await pool.query<{ ref: string; spec: object; retired: boolean }>(
        `select distinct on (name) name || '@' || version as ref, spec, retired from ${schema}.templates order by name, version desc`,
      )
    ).rows,
});
export type Migration = Awaited<ReturnType<ReturnType<typeof readsOf>['migration']>>;
