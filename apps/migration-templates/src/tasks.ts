import { migrationTemplatesTasks as tasks } from '@chrysalis/contracts';
import { fold } from '@chrysalis/kernel';
import { characterisationDecider, options, optionsQueryDecider, type OptionsQueryEvent } from '@chrysalis/migration-templates-core';
import { done, failed, handleTask, refused, type MessageContext, type TaskHandler } from '@chrysalis/service-kit';
import { knownHosts } from './known/hosts.ts';
import { characterisationsOf, keepCharacterisation, knownTypes } from './known/types.ts';
import { knownVms } from './known/vms.ts';
import { runTask } from './runs/run-task.ts';

const recordCharacterisation = handleTask(tasks.recordCharacterisation, async ({ vmId, characterisation }, ctx) => {
  const decided = await ctx.decide(`characterisation-${vmId}`, characterisationDecider, { vmId, characterisation });
  if (!decided.ok) return refused(decided.rejection);
  if (decided.state) await keepCharacterisation(ctx.tx, ctx.store.schema, decided.state);
  return done({});
});

const answerOptions = handleTask(tasks.answerOptions, async ({ queryId }, ctx) => {
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
});

/** From what is known now. Without authorisation what agents found earlier is not used: the answer is the failsafe one. */
export const workOut = async (ctx: MessageContext, vmIds: readonly string[], tenant: string, authorised: boolean) => {
  const { schema } = ctx.store;
  const vms = await knownVms(ctx.tx, schema, vmIds, tenant);
  const found = authorised ? await characterisationsOf(ctx.tx, schema, vmIds) : new Map();
  return options(vms, await knownTypes(ctx.tx, schema), await knownHosts(ctx.tx, schema), found);
};

const checkBlockers = handleTask(tasks.checkBlockers, async ({ ends }) => {
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
});

export const taskHandlers: readonly TaskHandler[] = [recordCharacterisation, answerOptions, checkBlockers, runTask];
