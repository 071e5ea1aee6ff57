// node --import ./tools/node/register.mjs apps/workflow/src/test/latency.ts
// From a report in this process to its events, and the next dispatch, committed; beside it one row inserted and committed.
import type { TaskDispatch, WorkflowEvent } from '@chrysalis/contracts';
import { EventStore, migrate } from '@chrysalis/event-store';
import pg from 'pg';
import { pino } from 'pino';
import { startPostgres } from '../../../../infra/postgres/launcher.ts';
import { DatabaseClock } from '../clock.ts';
import { DueLoop } from '../due.ts';
import { Engine } from '../engine.ts';
import { tables } from '../tables.ts';
import { step, workflow } from './definitions.ts';

const STEPS = 5;
const chain = workflow(Array.from({ length: STEPS }, (_, i) => step(`s${i}`, 'alpha', i === 0 ? {} : { after: [`s${i - 1}`] })));
const quantile = (values: number[], q: number): number =>
  Number([...values].sort((a, b) => a - b)[Math.floor(values.length * q)]!.toFixed(2));
const figures = (values: number[]) => ({
  p50: quantile(values, 0.5),
  p90: quantile(values, 0.9),
  p99: quantile(values, 0.99),
  n: values.length,
});

const postgres = await startPostgres();
const pool = new pg.Pool({ connectionString: postgres.connectionString, max: 8 });
await migrate(pool, 'workflow');
await pool.query(`set search_path to workflow; ${tables.replaceAll('${schema}', 'workflow')}`);
const store = new EventStore(pool, 'workflow');
const clock = new DatabaseClock();
const due: { loop?: DueLoop } = {};
const engine = new Engine({ store, clock, onWake: (at) => due.loop?.noted(at) });
due.loop = new DueLoop({ store, engine, clock, log: pino({ level: 'silent' }) });
await due.loop.start();

const submit = async (workflowId: string, command: Parameters<Engine['submit']>[0]['command']): Promise<readonly WorkflowEvent[]> => {
  const outcome = await engine.submit({ workflowId, command, actor: 'service:workflow', tenant: 't', correlationId: workflowId });
  if (!outcome.ok) throw new Error(outcome.rejection.code);
  return outcome.events;
};
const dispatchIn = (events: readonly WorkflowEvent[]): TaskDispatch | undefined =>
  events.find((e) => e.type === 'chrysalis.workflow.task.dispatched.v1')?.data as TaskDispatch | undefined;

let n = 0;
const one = async (steps: number[], ends: number[]): Promise<void> => {
  const workflowId = `w-${n++}`;
  const request = { workflowId, definition: structuredClone(chain), params: {}, subject: 's' };
  let given = dispatchIn(await submit(workflowId, { type: 'start', request, tenant: 't' }));
  while (given) {
    const { task, action, attempt, token, executor } = given;
    const at = clock.iso();
    const report = {
      workflowId,
      task,
      action,
      attempt,
      token,
      executor,
      outcome: { ok: true as const, output: {} },
      startedAt: at,
      endedAt: at,
    };
    const began = performance.now();
    given = dispatchIn(await submit(workflowId, { type: 'report', report }));
    (given ? steps : ends).push(performance.now() - began);
  }
};

const raw = async (): Promise<number[]> => {
  await pool.query('create table if not exists raw (id bigint generated always as identity primary key, data jsonb)');
  const times: number[] = [];
  for (let i = 0; i < 300; i++) {
    const began = performance.now();
    await pool.query({ name: 'raw', text: 'insert into raw (data) values ($1)', values: ['{}'] });
    times.push(performance.now() - began);
  }
  return times;
};

for (let i = 0; i < 50; i++) await one([], []); // warm
const steps: number[] = [];
const ends: number[] = [];
const rawTimes = await raw();
for (let i = 0; i < 100; i++) await one(steps, ends);
console.log('one at a time, ms:', { step: figures(steps), 'last step (ends it)': figures(ends), 'raw insert': figures(rawTimes) });

for (const inFlight of [32]) {
  const times: number[] = [];
  const began = performance.now();
  let left = 1_000;
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (left-- > 0) await one(times, []);
    }),
  );
  const seconds = (performance.now() - began) / 1000;
  console.log(`${inFlight} in flight:`, {
    workflowsPerSecond: Math.round(1_000 / seconds),
    stepsPerSecond: Math.round((1_000 * STEPS) / seconds),
    step: figures(times),
  });
}

const late: number[] = [];
const retry = { attempts: 2, backoffMs: 200 };
await Promise.all(
  Array.from({ length: 50 }, async (_, i) => {
    const workflowId = `t-${i}`;
    await new Promise((r) => setTimeout(r, i * 17));
    const request = { workflowId, definition: workflow([step('a', 'alpha', { retry })]), params: {}, subject: 's' };
    const { task, action, attempt, token, executor } = dispatchIn(await submit(workflowId, { type: 'start', request, tenant: 't' }))!;
    const at = clock.iso();
    const cause = { code: 'x.busy', message: '', retriable: true };
    const [failed] = await submit(workflowId, {
      type: 'report',
      report: { workflowId, task, action, attempt, token, executor, outcome: { ok: false, cause }, startedAt: at, endedAt: at },
    });
    const dueAt = Date.parse((failed!.data as { retryAt: string }).retryAt);
    while ((await engine.load(workflowId)).version < 4) await new Promise((r) => setTimeout(r, 2));
    late.push(clock.now() - dueAt);
  }),
);
console.log('timers, ms from due to committed:', figures(late));
await due.loop.stop();
await pool.end();
await postgres.stop();
