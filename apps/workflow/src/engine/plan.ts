import type { TaskDispatch, WorkflowEvent } from '@chrysalis/contracts';
import type { EventMeta, NewEvent, StoredEvent } from '@chrysalis/event-store';
import { fold } from '@chrysalis/kernel';
import {
  decide,
  evolve,
  initial,
  isInstance,
  isOver,
  nextTimerAt,
  type WorkflowCommand,
  type WorkflowRejection,
} from '@chrysalis/workflow-core';
import type { Entry } from './cache.ts';
import { newId } from './ids.ts';
import { localDispatches, openLocalTokens } from '../local/attempts.ts';
import { checkRequest, requestKeysIn, type OperatorRejection, type OperatorRequest } from './operator-request.ts';
import type { InstanceRow, Wake } from '../sql/record.ts';

/** Something to be decided. `at` is left out: the engine's clock says when. */
export type Job = OperatorRequest & {
  readonly workflowId: string;
  readonly command: WithoutAt<WorkflowCommand>;
  readonly actor: string;
  readonly correlationId?: string;
  readonly causationId?: string;
  readonly tenant?: string;
  readonly traceparent?: string;
  /** A tick that only says that this instance is at work on the workflow's local tasks. */
  readonly beat?: true;
  /** A tick that lets no timer act: it only finds local tasks that nobody executes any more. */
  readonly recover?: true;
};
type WithoutAt<C> = C extends WorkflowCommand ? Omit<C, 'at'> : never;
export type Outcome =
  | { readonly ok: true; readonly version: number; readonly events: readonly WorkflowEvent[] }
  | { readonly ok: false; readonly rejection: WorkflowRejection | OperatorRejection };

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
  /** Local tasks to start once this is committed. */
  readonly given: readonly TaskDispatch[];
  /** Tokens of local tasks that are open and that nobody seems to execute any more: to be started again. */
  readonly abandoned: readonly number[];
};

/** How far ahead a known timer must be to be relied on: between deciding and committing nobody may have taken it as due. */
const SLACK_MS = 1_000;
/** A timer that was looked at is looked at again after this at the latest. */
const LONGEST_MS = 60_000;
/**
 * A workflow with an open local task is looked at after this at the latest. Who executes one says so in time (see `isNearlyDue`), so a
 * row that comes due with no timer behind it tells that its executor is gone: with the 0.5 s between two looks, 3 s after it went.
 */
const LOCAL_MS = 2_500;
/** The row came due for a timer, which tells nothing of who executes the rest: it is looked at again after this. */
const LOCAL_DOUBT_MS = 1_500;
/** Another instance must not find a row due while this one is at work: it is moved on this much before. */
const LOCAL_AHEAD_MS = 1_500;
export const isNearlyDue = (entry: Entry | undefined, now: number): boolean => (entry?.wakeAt ?? 0) < now + LOCAL_AHEAD_MS;

export const nothing: Entry = { version: 0, state: initial, correlationId: '', tenant: '' };

/** The instance after more of its history. Where others added some, nobody here knows any more when its timer is. */
export const entryAfter = (history: readonly StoredEvent[], base: Entry = nothing): Entry => {
  const [first] = history;
  if (!first) return base;
  const state = fold(evolve, base.state, history as unknown as readonly WorkflowEvent[]);
  const { correlationId, tenant } = base.version > 0 ? base : first.meta;
  const requestKeys = [...(base.requestKeys ?? []), ...requestKeysIn(history)];
  return { version: base.version + history.length, state, correlationId, tenant, ...(requestKeys.length > 0 ? { requestKeys } : {}) };
};

type Runs = (workflowId: string, token: number) => boolean;

export const plan = (workflowId: string, entry: Entry, jobs: readonly Job[], now: number, runs: Runs): Plan => {
  let { state, correlationId, tenant } = entry;
  const at = new Date(now).toISOString();
  const events: NewEvent[] = [];
  let requestKeys = entry.requestKeys;
  const outcomes = jobs.map((job): Outcome => {
    const version = entry.version + events.length;
    const before = checkRequest(job, requestKeys, version);
    if (before) return before === 'done' ? { ok: true, version, events: [] } : { ok: false, rejection: before };
    if (job.recover) return { ok: true, version: entry.version + events.length, events: [] };
    const decision = decide({ ...job.command, at } as WorkflowCommand, state);
    if (!decision.ok) return decision;
    if (events.length === 0 && entry.version === 0) ({ correlationId, tenant } = begunBy(job));
    const meta = metaOf(job, at, correlationId, tenant);
    for (const { type, data } of decision.events) events.push({ id: newId(), type, data, meta });
    state = fold(evolve, state, decision.events);
    if (job.key !== undefined && decision.events.length > 0) requestKeys = [...(requestKeys ?? []), job.key];
    return { ok: true, version: entry.version + events.length, events: decision.events };
  });
  const version = entry.version + events.length;
  const after: Entry = { ...kept(entry), version, state, correlationId, tenant, ...(requestKeys ? { requestKeys } : {}) };
  const given = localDispatches(events);
  const looked = jobs.some((j) => j.command.type === 'tick');
  const timer = looked
    ? lookedAt(entry, after, now, { beat: jobs.every((j) => j.beat), acted: events.length > 0, given, runs })
    : { ...timerOf(workflowId, after, now, given.length > 0), abandoned: [] };
  return {
    workflowId,
    from: entry.version,
    entry: after,
    outcomes,
    events,
    ended: (events.length > 0 || looked) && isOver(state),
    given,
    ...timer,
    ...(events.some((e) => tellsTheList.has(e.type)) ? { row: rowOf(workflowId, after, at) } : {}),
  };
};

const timerOf = (workflowId: string, { state, version, wakeAt }: Entry, now: number, local: boolean): { wake?: Wake } => {
  const next = nextTimerAt(state);
  if (next === undefined) return {};
  const at = local ? Math.min(next, now + LOCAL_MS) : next;
  const reliable = wakeAt !== undefined && wakeAt > now + SLACK_MS;
  return reliable && wakeAt <= at ? {} : { wake: { workflowId, at: iso(at), version } };
};

/** Whose a new instance is. */
const begunBy = ({ workflowId, correlationId = workflowId, tenant = '' }: Job): Pick<Entry, 'correlationId' | 'tenant'> => ({
  correlationId,
  tenant,
});

/** The timer of one that had ended is gone: one that goes on after all needs a new one. */
const kept = ({ wakeAt, ...known }: Entry): Entry => (wakeAt === undefined || isOver(known.state) ? known : { ...known, wakeAt });

type Look = { readonly beat: boolean; readonly acted: boolean; readonly given: readonly TaskDispatch[]; readonly runs: Runs };

/**
 * The row on to the next timer. Local tasks that are open but not executed here are somebody else's or nobody's: nobody's, if the row was
 * allowed to come due and no timer was the reason. While some are somebody else's this instance does not speak for them by moving the row.
 */
const lookedAt = (before: Entry, { state, version }: Entry, now: number, look: Look): { move?: Wake; abandoned: readonly number[] } => {
  const next = nextTimerAt(state);
  if (next === undefined || !isInstance(state)) return { abandoned: [] };
  const { workflowId } = state;
  const open = openLocalTokens(state);
  const fresh = new Set(look.given.map((g) => g.token));
  const others = open.filter((token) => !fresh.has(token) && !look.runs(workflowId, token));
  const byTimer = look.acted || (nextTimerAt(before.state) ?? 0) <= now;
  if (look.beat && others.length > 0) return { abandoned: [] };
  const doubtful = others.length > 0 && byTimer;
  const within = open.length === 0 ? LONGEST_MS : doubtful ? LOCAL_DOUBT_MS : LOCAL_MS;
  return { move: { workflowId, at: iso(Math.min(next, now + within)), version }, abandoned: byTimer ? [] : others };
};

const iso = (ms: number): string => new Date(ms).toISOString();

const metaOf = (job: Job, at: string, correlationId: string, tenant: string): EventMeta => ({
  at,
  correlationId,
  actor: job.actor,
  tenant,
  ...causeOf(job),
  ...(job.traceparent === undefined ? {} : { traceparent: job.traceparent }),
});

const causeOf = ({ key, causationId = key }: Job): Partial<EventMeta> => (causationId === undefined ? {} : { causationId });

const tellsTheList = new Set([
  'chrysalis.workflow.instance.started.v1',
  'chrysalis.workflow.compensation.started.v1',
  'chrysalis.workflow.instance.changed.v1',
  'chrysalis.workflow.instance.ended.v1',
]);

const rowOf = (workflowId: string, { state, tenant }: Entry, at: string): InstanceRow => {
  if (state.status === 'none' || state.status === 'queued') throw new Error('a list row for nothing');
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
