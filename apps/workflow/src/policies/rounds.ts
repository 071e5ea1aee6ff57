import { workflowPolicyEvents, type WorkflowPolicyEvent } from '@chrysalis/contracts';
import { failpoint, messageContext, type MessageContext, type ServiceContext } from '@chrysalis/service-kit';
import { dueSlots, isKnown, nextSlot, policyDecider, policyStream, policyWorkflowId, type KnownPolicy } from '@chrysalis/workflow-core';
import type pg from 'pg';
import { submitRequest } from '../queue/submit.ts';
import { startable } from './decide.ts';
import * as sql from './sql.ts';

/** Started in one transaction at most. */
const BATCH = 20;

/**
 * Serves the slot of a schedule that is due. What was missed while nobody ran is served once, by its latest slot, and
 * a slot that comes while an earlier one still waits is passed over: a schedule says when to look, not how often to have looked.
 */
export const serveSlot = (service: ServiceContext, name: string): Promise<void> =>
  service.store.transaction(async (tx) => {
    const { schema } = service;
    const due = await sql.takeDueSlot(tx, schema, name);
    if (!due) return;
    const { state, nextAt } = due;
    const now = due.now.toISOString();
    if (!isKnown(state) || !('schedule' in state.spec.on)) return sql.setNextSlot(tx, schema, name, null);
    const { schedule, timezone } = state.spec.on;
    const slots = dueSlots(schedule, timezone, nextAt.toISOString(), now)!;
    const cause = { kind: 'schedule', at: slots.latest, missed: slots.missed } as const;
    const firing = { workflowId: policyWorkflowId(name, cause), policy: name, cause, scope: { schedule: { at: slots.latest } } };
    await sql.noteFiring(tx, schema, firing, 1);
    await sql.setNextSlot(tx, schema, name, nextSlot(schedule, timezone, now) ?? null);
    await failpoint('policy:slot', { policy: name });
  });

/** Starts what waits of a policy, as far as its limits allow; answers how many it started. */
export const startWaiting = async (service: ServiceContext, name: string): Promise<number> => {
  const count = await service.store.transaction((tx) => startIn(tx, service, name));
  if (count > 0) await failpoint('policy:committed', { policy: name });
  return count;
};

/**
 * Firing, event and request are one commit: the row of the policy is locked, so that no two instances count its limits at the same time,
 * and whoever dies before the commit has done nothing.
 */
const startIn = async (tx: pg.PoolClient, service: ServiceContext, name: string): Promise<number> => {
  const { schema } = service;
  const row = await sql.takeEnabled(tx, schema, name);
  if (!row || !isKnown(row.state)) return 0;
  const { state } = row;
  const room = roomOf(state, row, await sql.countRunning(tx, schema, name));
  let { version } = row;
  for (const firing of room > 0 ? await sql.oldestWaiting(tx, schema, name, Math.min(room, BATCH)) : []) {
    const starting = { service, tx, policy: state, name, version, firing };
    if (await startOne(starting)) version++;
  }
  const count = version - row.version;
  if (count === 0) return 0;
  await sql.startedAt(tx, schema, name, version);
  await failpoint('policy:fired', { policy: name });
  return count;
};

type Starting = {
  readonly service: ServiceContext;
  readonly tx: pg.PoolClient;
  readonly name: string;
  readonly policy: KnownPolicy;
  /** Of the policy's stream. */
  readonly version: number;
  readonly firing: sql.Firing;
};

const startOne = async (starting: Starting): Promise<boolean> => {
  const { service, tx, policy, name, version, firing } = starting;
  const { cause, scope, workflowId } = firing;
  const { template: text, priority } = policy.spec.start;
  const ctx = contextOf(starting);
  const template = await startable(tx, service.schema, text);
  const decision = policyDecider.decide({ type: 'fire', cause, scope, template, at: ctx.now }, policy);
  if (!decision.ok) return refuse(starting, decision.rejection);
  const { params, subject } = firedOf(decision.events[0]!);
  const { actor, correlationId, causationId } = ctx.meta;
  const meta = { actor, correlationId, ...(causationId === undefined ? {} : { causationId }) };
  const submitted = await submitRequest(service, tx, {
    workflowId,
    template: text,
    params,
    subject,
    tenant: policy.tenant,
    priority,
    meta,
  });
  if (!submitted.ok) return refuse(starting, submitted.rejection);
  const appended = await ctx.append(policyStream(name), version, ...decision.events);
  if (!appended.ok) throw new Error(`${name} was changed by somebody else`); // its row is locked
  await sql.setFiring(tx, service.schema, workflowId, { state: 'started' });
  return true;
};

const firedOf = (e: WorkflowPolicyEvent) => {
  if (e.type !== workflowPolicyEvents.policyFired.type) throw new Error(`${e.type} in place of a firing`);
  return e.data;
};

/** For ever: the same event would give the same params. */
const refuse = async (starting: Starting, { code, message = code }: { code: string; message?: string }): Promise<false> => {
  const { service, tx, name, firing } = starting;
  const { workflowId, cause } = firing;
  await sql.setFiring(tx, service.schema, workflowId, { state: 'refused', reason: { code, message } });
  const eventId = cause.kind === 'event' ? { eventId: cause.eventId } : {};
  await sql.noteFailure(tx, service.schema, name, { code, message, ...eventId, at: service.clock() }, 1);
  return false;
};

/** How many may start now. With an interval it is one at a time. */
const roomOf = ({ spec }: KnownPolicy, row: sql.PolicyRow & { now: Date }, running: number): number => {
  const { maxRunning = 1, minIntervalMs = 0 } = spec.limits ?? {};
  const since = row.lastStartedAt ? row.now.getTime() - row.lastStartedAt.getTime() : Infinity;
  if (since < minIntervalMs) return 0;
  return Math.min(maxRunning - running, minIntervalMs > 0 ? 1 : Infinity);
};

/** Of a workflow that a policy starts: it goes back to the event, and is a story of its own, by which its own events are told apart. */
const contextOf = ({ service, tx, firing: { workflowId, cause }, policy, name }: Starting): MessageContext =>
  messageContext(service, tx, {
    at: service.clock(),
    correlationId: workflowId,
    ...(cause.kind === 'event' ? { causationId: cause.eventId } : {}),
    actor: `policy:${name}`,
    tenant: policy.tenant,
  });
