import { migrationTemplatesEvents as events, migrationTemplatesTasks as tasks, type InputOf } from '@chrysalis/contracts';
import {
  migrationDecider,
  outcomeOf,
  type CloseApproval,
  type JudgeApproval,
  type MigrationEvent,
  type MigrationState,
} from '@chrysalis/migration-templates-core';
import {
  done,
  Executor,
  failed,
  later,
  messageContext,
  OnTask,
  ofTenant,
  refused,
  report,
  type MessageContext,
  type ResultOf,
  type ServiceContext,
  type TaskContext,
} from '@chrysalis/service-kit';
import { lookAtDue } from '../due.ts';
import { knownSet } from '../moves/set-state.ts';
import { tenantOfMigration } from '../sql/migrations.ts';
import { dueWaiting, insertWaiting, oneAnswerAtATime, putOffWaiting, takeWaiting, waitingOf } from './sql.ts';

type Input = InputOf<typeof tasks.awaitApproval>;

/** The question stands in the migration's stream, and whoever answers it answers the task in the same transaction. */
@Executor()
export class AwaitApproval {
  @OnTask(tasks.awaitApproval)
  async awaitApproval(input: Input, ctx: TaskContext): ResultOf<typeof tasks.awaitApproval> {
    const { migrationId, moveId, withinMs, onTimeout, meanwhile } = input;
    const { dispatch, tx, store } = ctx;
    const tenant = (await tenantOfMigration(tx, store.schema, migrationId)) ?? dispatch.tenant;
    await oneAnswerAtATime(tx, store.schema, migrationId);
    const until = new Date(Date.parse(ctx.now) + withinMs).toISOString();
    const asked = { kind: 'ask-approval', moveId, attempt: dispatch.attempt, until, onTimeout, meanwhile } as const;
    const decided = await ofTenant(ctx, tenant).decide(`migration-${migrationId}`, migrationDecider, asked, {
      known: await knownSet(ctx, migrationId),
    });
    if (!decided.ok) return refused(decided.rejection);
    const approval = approvalIn(decided.state, moveId)!;
    const outcome = outcomeOf(approval);
    if (outcome) return answered(input, outcome);
    const { correlationId } = ctx.meta;
    await insertWaiting(tx, store.schema, { moveId, migrationId, tenant, dispatch, correlationId, startedAt: ctx.now }, approval.until);
    return later;
  }
}

const approvalIn = (state: MigrationState, moveId: string) =>
  state.status === 'none' ? undefined : state.moves.find((m) => m.moveId === moveId)?.approval;

/** A host that holds a transfer back is told either answer; where nothing was begun, a move that is not approved ends with this. */
const answered = ({ meanwhile }: Input, outcome: NonNullable<ReturnType<typeof outcomeOf>>) =>
  meanwhile || outcome.approved ? done(outcome) : failed({ ...outcome.cause!, retriable: false });

/** In the transaction that decided: each move that nobody waits for any more has its task answered. */
const answerTasks = async (told: readonly MigrationEvent[], state: MigrationState, ctx: MessageContext): Promise<void> => {
  for (const { type, data } of told) {
    if (type !== events.approvalSettled.type) continue;
    const waiting = await takeWaiting(ctx.tx, ctx.store.schema, data.moveId);
    if (!waiting) continue; // its task will find the answer when it comes again
    const { dispatch, tenant, startedAt } = waiting;
    const outcome = answered(dispatch.input as Input, outcomeOf(approvalIn(state, data.moveId)!)!);
    await report(ofTenant(ctx, tenant), dispatch, outcome, { reported: events.taskReported, startedAt });
  }
};

const settle = async (ctx: MessageContext, migrationId: string, command: CloseApproval | JudgeApproval) => {
  await oneAnswerAtATime(ctx.tx, ctx.store.schema, migrationId);
  const decided = await ctx.decide(`migration-${migrationId}`, migrationDecider, command, { known: await knownSet(ctx, migrationId) });
  if (decided.ok) await answerTasks(decided.events, decided.state, ctx);
  return decided;
};

export const judgeApproval = (ctx: MessageContext, command: Omit<JudgeApproval, 'kind'>) =>
  settle(ctx, command.migrationId, { kind: 'judge-approval', ...command });

/** Its move is undone, or has ended: nobody is asked any more, and its workflow does not wait for an answer. */
export const noMoreApproval = async (moveId: string, reason: string, ctx: MessageContext): Promise<void> => {
  const waiting = await waitingOf(ctx.tx, ctx.store.schema, moveId);
  if (!waiting) return;
  const command = { kind: 'close-approval', moveId, verdict: 'moot', reason: reason.slice(0, 255) } as const;
  const decided = await settle(ofTenant(ctx, waiting.tenant), waiting.migrationId, command);
  if (!decided.ok) throw new Error(`${moveId} waits for an approval, and its migration says ${decided.rejection.code}`);
};

const AFTER_A_FAULT_MS = 10_000;

/** Whose time is up is answered by what the template says. */
export const startApprovalRounds = (service: ServiceContext): (() => Promise<void>) => {
  const { schema, pool, log, context } = service;
  return lookAtDue(service, {
    next: (tx) => dueWaiting(tx, schema),
    goOn: async ({ migrationId, moveId, tenant, correlationId }, tx) => {
      const meta = { at: service.clock(), correlationId, actor: `service:${context}`, tenant };
      const ctx = ofTenant(messageContext(service, tx, meta), tenant);
      const decided = await settle(ctx, migrationId, { kind: 'close-approval', moveId, verdict: 'timed-out' });
      if (!decided.ok) throw new Error(`an approval whose time is up is refused: ${decided.rejection.code}`);
    },
    putOff: ({ moveId }, err) => {
      log.error({ err, move: moveId }, 'an approval whose time is up could not be answered; it is looked at again');
      return putOffWaiting(pool, schema, moveId, AFTER_A_FAULT_MS);
    },
  });
};
