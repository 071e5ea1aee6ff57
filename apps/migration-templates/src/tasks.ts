import { migrationTemplatesTasks as tasks, type InputOf } from '@chrysalis/contracts';
import { fold } from '@chrysalis/kernel';
import { characterisationDecider, options, optionsQueryDecider, type OptionsQueryEvent } from '@chrysalis/migration-templates-core';
import { done, Executor, failed, OnTask, refused, type MessageContext, type ResultOf, type TaskContext } from '@chrysalis/service-kit';
import { knownHosts } from './known/hosts.ts';
import { characterisationsOf, keepCharacterisation, knownTypes } from './known/types.ts';
import { knownVms } from './known/vms.ts';

type Input<K extends keyof typeof tasks> = InputOf<(typeof tasks)[K]>;
type Result<K extends keyof typeof tasks> = ResultOf<(typeof tasks)[K]>;

/** What options and plans go by, and what stands between a move and its begin. */
@Executor()
export class PlanningTasks {
  @OnTask(tasks.recordCharacterisation)
  async recordCharacterisation(
    { vmId, characterisation }: Input<'recordCharacterisation'>,
    ctx: TaskContext,
  ): Result<'recordCharacterisation'> {
    const decided = await ctx.decide(`characterisation-${vmId}`, characterisationDecider, { vmId, characterisation });
    if (!decided.ok) return refused(decided.rejection);
    if (decided.state) await keepCharacterisation(ctx.tx, ctx.store.schema, decided.state);
    return done({});
  }

  @OnTask(tasks.answerOptions)
  async answerOptions({ queryId }: Input<'answerOptions'>, ctx: TaskContext): Result<'answerOptions'> {
    const stream = `options-query-${queryId}`;
    const query = fold(
      optionsQueryDecider.evolve,
      optionsQueryDecider.initial,
      (await ctx.store.read(stream, {}, ctx.tx)) as unknown as OptionsQueryEvent[],
    );
    if (query.status === 'none') return refused({ code: 'options-query.unknown', queryId });
    const answer = await workOut(ctx, query.vmIds, ctx.dispatch.tenant, query.grantId !== undefined);
    const decided = await ctx.decide(stream, optionsQueryDecider, { kind: 'answer', queryId, answer });
    return decided.ok ? done({}) : refused(decided.rejection);
  }

  @OnTask(tasks.checkBlockers)
  async checkBlockers({ ends }: Input<'checkBlockers'>): Result<'checkBlockers'> {
    const blockers = ends.flatMap((e) => e.blockers.map((b) => ({ ...b, end: e.role })));
    const [first, ...more] = blockers;
    if (!first) return done({});
    return failed({
      code: more.length === 0 ? first.code : 'move.blocked',
      message: blockers
        .map((b) => `${b.end}: ${b.message}`)
        .join('; ')
        .slice(0, 2000),
      retriable: false,
      detail: { blockers },
    });
  }
}

/** From what is known now. Without authorisation what agents found earlier is not used: the answer is the failsafe one. */
export const workOut = async (ctx: MessageContext, vmIds: readonly string[], tenant: string, authorised: boolean) => {
  const { schema } = ctx.store;
  const vms = await knownVms(ctx.tx, schema, vmIds, tenant);
  const found = authorised ? await characterisationsOf(ctx.tx, schema, vmIds) : new Map();
  return options(vms, await knownTypes(ctx.tx, schema), await knownHosts(ctx.tx, schema), found);
};
