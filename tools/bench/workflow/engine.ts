import type { WorkflowDefinition } from '@chrysalis/contracts';
import { afterLog, EventStore, migrate } from '@chrysalis/event-store';
import { DatabaseClock, DueLoop, Engine, tables, type LocalKinds } from '@chrysalis/workflow-app/engine';
import pg from 'pg';
import { pino } from 'pino';
import { v7 as uuid } from 'uuid';

export type BenchEngine = {
  /** A request as a consumer has it: a definition of its own, which is checked and compiled like any other. Resolves at the end. */
  readonly run: (definition: WorkflowDefinition, params?: Record<string, unknown>) => Promise<string>;
  readonly store: EventStore;
  readonly close: () => Promise<void>;
};

/**
 * The workflow engine of the workflow service as its service assembles it: log, timers, recovery, local execution. Without HTTP, relay and bus:
 * requests come from this process.
 */
export const openEngine = async (databaseUrl: string, kinds: LocalKinds): Promise<BenchEngine> => {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 8 });
  await migrate(databaseUrl, 'workflow', afterLog(tables));
  const store = new EventStore(pool, 'workflow');
  const clock = new DatabaseClock();
  const log = pino({ level: 'error' }, pino.destination(2));
  const waiting = new Map<string, () => void>();
  const engine = new Engine({ store, clock, log });
  engine.local.register(kinds);
  engine.after.on('ended', (workflowId) => {
    waiting.get(workflowId)?.();
    waiting.delete(workflowId);
  });
  const due = new DueLoop({ store, engine, clock, log });
  await due.start();
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
      await due.stop();
      await pool.end();
    },
  };
};
