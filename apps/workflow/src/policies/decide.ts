import { type Code, parseRef, type WorkflowDefinition } from '@chrysalis/contracts';
import { ConcurrentAppend, type Queryable } from '@chrysalis/event-store';
import { fold } from '@chrysalis/kernel';
import type { MessageContext } from '@chrysalis/service-kit';
import { nextSlot, policyDecider, policyStream, type Policy, type PolicyCommand, type PolicyRejection } from '@chrysalis/workflow-core';
import { templateOf } from '../sql/templates.ts';
import { databaseNow, dropWaiting, lockPolicy, writePolicy } from './sql.ts';

export type Decided =
  { readonly ok: true; readonly state: Policy; readonly version: number } | { readonly ok: false; readonly rejection: PolicyRejection };

/** The definition that `name@3` means for a new start; none where it is retired. */
export const startable = async (db: Queryable, schema: string, template: string): Promise<WorkflowDefinition | undefined> => {
  const ref = parseRef(template);
  const row = ref && (await templateOf(db, schema, ref.name, ref.version));
  return row && !row.retired ? row.definition : undefined;
};

/**
 * A command to a policy, decided on its row, which is its stream folded: a stream has an event for each firing and is not read again. The
 * row is locked, and the append checks the version; a new name, which has no row to lock, is raced for by the append.
 */
export const decidePolicy = async (name: string, command: PolicyCommand, ctx: MessageContext): Promise<Decided> => {
  const { tx, store } = ctx;
  const row = await lockPolicy(tx, store.schema, name);
  const { state: before, version: known } = row ?? { state: policyDecider.initial, version: 0 };
  const decision = policyDecider.decide(command, before);
  if (!decision.ok) return decision;
  const version = known + decision.events.length;
  const state = fold(policyDecider.evolve, before, decision.events);
  if (decision.events.length === 0) return { ok: true, state, version };
  const appended = await ctx.append(policyStream(name), row ? known : 'noStream', ...decision.events);
  if (!appended.ok) throw new ConcurrentAppend([policyStream(name)]); // two establish one name at once: the second decides again
  const nextAt = nextOf(state, row, await databaseNow(tx));
  await writePolicy(tx, store.schema, { name, version, state, nextAt });
  if (state.status !== 'enabled') await dropWaiting(tx, store.schema, name, droppedAs(state.status));
  return { ok: true, state, version };
};

/** A schedule counts from when it was enabled, or written anew: what lay before is nobody's. */
const nextOf = (state: Policy, row: { readonly state: Policy; readonly nextAt: Date | null } | undefined, now: string): string | null => {
  if (state.status !== 'enabled' || !state.spec || !('schedule' in state.spec.on)) return null;
  const { state: before, nextAt } = row ?? {};
  if (before?.status === 'enabled' && before.revision === state.revision && nextAt) return nextAt.toISOString();
  return nextSlot(state.spec.on.schedule, state.spec.on.timezone, now) ?? null;
};

const droppedAs = (status: string): { code: Code; message: string } => ({
  code: status === 'removed' ? 'workflow-policy.unknown' : 'workflow-policy.disabled',
  message: `the policy was ${status} before it could start`,
});
