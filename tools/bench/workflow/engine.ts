import type { WorkflowDefinition } from '@chrysalis/contracts';
import path from 'node:path';
import { afterLog, EventStore, migrate, migrationsIn } from '@chrysalis/event-store';
import pg from 'pg';
import { pino } from 'pino';
import { v7 as uuid } from 'uuid';
import { DatabaseClock } from '../../../apps/workflow/src/engine/clock.ts';
import { DueLoop } from '../../../apps/workflow/src/engine/due.ts';
import { Engine } from '../../../apps/workflow/src/engine/engine.ts';
import type { LocalKinds } from '../../../apps/workflow/src/local/local.ts';

const tables = path.join(import.meta.dirname, '../../../apps/workflow/src/migrations');

export type BenchEngine = {
  /** A request as a consumer has it: a definition of its own, which is checked and compiled like any other. Resolves at the end. */
  readonly run: (definition: WorkflowDefinition, params?: Record<string, unknown>) => Promise<string>;
  readonly store: EventStore;
  readonly close: () => Promise<void>;
};

/**
 * The workflow engine of apps/workflow as its service assembles it: log, timers, recovery, local execution. Without HTTP, relay and bus:
 * requests come from this process.
 */
export const openEngine = async (databaseUrl: string, kinds: LocalKinds): Promise<BenchEngine> => {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 8 });
  await migrate(databaseUrl, 'workflow', afterLog(migrationsIn(tables)));
  const store = new EventStore(pool, 'workflow');
  const clock = new DatabaseClock();
  const log = pino({ level: 'error' }, pino.destination(2));
  const waiting = new Map<string, () => void>();
  const due: { loop?: DueLoop } = {};
  const onEnded = (workflowId: string): void => {
    waiting.get(workflowId)?.();
    waiting.delete(workflowId);
  };
  const engine = new Engine({ store, clock, log, onEnded, onWake: (at) => due.loop?.noted(at) });
  engine.local.register(kinds);
  due.loop = new DueLoop({ store, engine, clock, log });
  await due.loop.start();
  return {
    store,
    run: async (definition, params = {}) => {
      const workflowId = `bench-${uuid()}`;
      const ended = new Promise<void>((resolve) => waiting.set(workflowId, resolve));
      const request = { workflowId, definition: structuredClone(definition), params, subject: 'bench' };
      const command = { type: 'start', request, tenant: 'bench' } as const;
      const outcome = await engine.submit({ workflowId, command, actor: 'service:bench', tenant: 'bench' });
      if (!outcome.ok) throw new Error(outcome.rejection.code);
      await ended;
      return workflowId;
    },
    close: async () => {
      await engine.stopLocal();
      await due.loop!.stop();
      await pool.end();
    },
  };
};
