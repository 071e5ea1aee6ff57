import type { WorkflowEvent } from '@chrysalis/contracts';
import type { EventMeta, NewEvent, StoredEvent } from '@chrysalis/event-store';
import { fold } from '@chrysalis/kernel';
import { decide, evolve, initial, isInstance, nextTimerAt, type WorkflowCommand, type WorkflowRejection } from '@chrysalis/workflow-core';
import { v7 as uuidv7 } from 'uuid';
import type { Entry } from './cache.ts';
import type { InstanceRow, Wake } from './sql/record.ts';

/** Something to be decided. `at` is left out: the engine's clock says when. */
export type Job = {
  readonly workflowId: string;
  readonly command: WithoutAt<WorkflowCommand>;
  readonly actor: string;
  readonly correlationId?: string;
  readonly causationId?: string;
  readonly tenant?: string;
  readonly traceparent?: string;
};
type WithoutAt<C> = C extends WorkflowCommand ? Omit<C, 'at'> : never;
export type Outcome =
  | { readonly ok: true; readonly version: number; readonly events: readonly WorkflowEvent[] }
  | { readonly ok: false; readonly rejection: WorkflowRejection };

/** What one commit would do to one instance: the decisions of all its jobs, in their order. */
export type Plan = {
  readonly workflowId: string;
  readonly from: number;
  readonly entry: Entry;
  readonly outcomes: readonly Outcome[];
  readonly events: readonly NewEvent[];
  readonly wake?: Wake;
  readonly move?: Wake;
  readonly ended: boolean;
  readonly row?: InstanceRow;
};

/** How far ahead a known timer must be to be relied on: between deciding and committing nobody may have taken it as due. */
const SLACK_MS = 1_000;
/** A timer that was looked at is looked at again after this at the latest. */
const LONGEST_MS = 60_000;

export const nothing: Entry = { version: 0, state: initial, correlationId: '', tenant: '' };

/** The instance after more of its history. Where others added some, nobody here knows any more when its timer is. */
export const entryAfter = (history: readonly StoredEvent[], base: Entry = nothing): Entry => {
  const [first] = history;
  if (!first) return base;
  const state = fold(evolve, base.state, history as unknown as readonly WorkflowEvent[]);
  const { correlationId, tenant } = base.version > 0 ? base : first.meta;
  return { version: base.version + history.length, state, correlationId, tenant };
};

export const plan = (workflowId: string, entry: Entry, jobs: readonly Job[], now: number): Plan => {
  let { state, correlationId, tenant } = entry;
  const at = new Date(now).toISOString();
  const events: NewEvent[] = [];
  const outcomes = jobs.map((job): Outcome => {
    const decision = decide({ ...job.command, at } as WorkflowCommand, state);
    if (!decision.ok) return decision;
    if (events.length === 0 && entry.version === 0) {
      correlationId = job.correlationId ?? workflowId;
      tenant = job.tenant ?? '';
    }
    const meta = metaOf(job, at, correlationId, tenant);
    for (const { type, data } of decision.events) events.push({ id: uuidv7(), type, data, meta });
    state = fold(evolve, state, decision.events);
    return { ok: true, version: entry.version + events.length, events: decision.events };
  });
  const version = entry.version + events.length;
  const after: Entry = { ...entry, version, state, correlationId, tenant };
  const looked = jobs.some((j) => j.command.type === 'tick');
  const told = events.some((e) => tellsTheList.has(e.type));
  return {
    workflowId,
    from: entry.version,
    entry: after,
    outcomes,
    events,
    ended: (events.length > 0 || looked) && (!isInstance(state) || state.end !== undefined),
    ...timerOf(workflowId, after, looked, now),
    ...(told ? { row: rowOf(workflowId, after, at) } : {}),
  };
};

const timerOf = (workflowId: string, entry: Entry, looked: boolean, now: number): { wake?: Wake; move?: Wake } => {
  const next = nextTimerAt(entry.state);
  if (next === undefined) return {};
  const { version } = entry;
  if (looked) return { move: { workflowId, at: new Date(Math.min(next, now + LONGEST_MS)).toISOString(), version } };
  const reliable = entry.wakeAt !== undefined && entry.wakeAt > now + SLACK_MS;
  return reliable && entry.wakeAt <= next ? {} : { wake: { workflowId, at: new Date(next).toISOString(), version } };
};

const metaOf = (job: Job, at: string, correlationId: string, tenant: string): EventMeta => ({
  at,
  correlationId,
  actor: job.actor,
  tenant,
  ...(job.causationId === undefined ? {} : { causationId: job.causationId }),
  ...(job.traceparent === undefined ? {} : { traceparent: job.traceparent }),
});

const tellsTheList = new Set([
  'chrysalis.workflow.instance.started.v1',
  'chrysalis.workflow.compensation.started.v1',
  'chrysalis.workflow.instance.ended.v1',
]);

const rowOf = (workflowId: string, { state, tenant }: Entry, at: string): InstanceRow => {
  if (state.status === 'none') throw new Error('a list row for nothing');
  if (!isInstance(state)) {
    const { name, subject, end } = state;
    return {
      workflowId,
      name,
      version: 0,
      subject,
      tenant,
      state: end.state,
      causeCode: end.cause?.code ?? null,
      tasks: 0,
      startedAt: at,
      endedAt: end.at,
    };
  }
  const { definition, subject, status, startedAt, end } = state;
  const { name, version, tasks } = definition;
  const causeCode = (end ? end.cause : state.cause)?.code ?? null;
  return { workflowId, name, version, subject, tenant, state: status, causeCode, tasks: tasks.length, startedAt, endedAt: end?.at ?? null };
};
