// The workflow engine of apps/workflow as its service assembles it: log, timers, recovery, local execution. Without HTTP, relay and bus,
// which the others do not have either: requests come from this process.
import { readFileSync } from 'node:fs';
import type { WorkflowDefinition } from '@chrysalis/contracts';
import { EventStore, migrate } from '@chrysalis/event-store';
import pg from 'pg';
import { pino } from 'pino';
import { v7 as uuid } from 'uuid';
import { DatabaseClock } from '../../../apps/workflow/src/clock.ts';
import { DueLoop } from '../../../apps/workflow/src/due.ts';
import { Engine } from '../../../apps/workflow/src/engine.ts';
import { tables } from '../../../apps/workflow/src/tables.ts';
import { serve, steps, type Contender } from './turn.ts';

/** Each step waits for the one before; its handler does nothing. */
const definition: WorkflowDefinition = {
  name: 'five-steps',
  version: 1,
  summary: 'Five steps, one after another',
  params: {},
  tasks: Array.from({ length: steps }, (_, i) => ({
    name: `step-${i}`,
    kind: 'bench.nothing',
    summary: `Step ${i}`,
    input: {},
    deadlineMs: 30_000,
    route: { mode: 'group', group: 'workflow' },
    ...(i === 0 ? {} : { after: [`step-${i - 1}`] }),
  })),
  deadlineMs: 120_000,
};

const open = async ({ databaseUrl }: Record<string, string>): Promise<Contender> => {
  const pool = new pg.Pool({ connectionString: databaseUrl!, max: 8 });
  await migrate(pool, 'workflow');
  await pool.query(`set search_path to workflow; ${tables.replaceAll('${schema}', 'workflow')}`);
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
  engine.local.register({ 'bench.nothing': () => ({ ok: true, output: {} }) });
  due.loop = new DueLoop({ store, engine, clock, log });
  await due.loop.start();
  return {
    version: (JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { version: string }).version,
    flow: () => flow(engine, waiting),
    close: async () => {
      await engine.stopLocal();
      await due.loop!.stop();
      await pool.end();
    },
  };
};

/** A request as a consumer has it: a definition of its own, which is checked and compiled like any other. */
const flow = async (engine: Engine, waiting: Map<string, () => void>): Promise<void> => {
  const workflowId = `bench-${uuid()}`;
  const ended = new Promise<void>((resolve) => waiting.set(workflowId, resolve));
  const request = { workflowId, definition: structuredClone(definition), params: {}, subject: 'bench' };
  const outcome = await engine.submit({
    workflowId,
    command: { type: 'start', request, tenant: 'bench' },
    actor: 'service:bench',
    tenant: 'bench',
  });
  if (!outcome.ok) throw new Error(outcome.rejection.code);
  await ended;
};

await serve(open);
