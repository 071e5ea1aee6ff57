import { migrationTemplatesEvents as e, refText } from '@chrysalis/contracts';
import { merge, on, type Handler } from '../projection.ts';

export const optionsAndPlans: readonly Handler[] = [
  on(e.optionsQueried, (d) => [
    merge('options_queries', d.queryId, {
      queryId: d.queryId,
      state: 'open',
      vmIds: d.vmIds,
      grantId: d.grantId,
      operation: d.request?.workflowId,
    }),
  ]),
  on(e.optionsAnswered, (d) => [
    merge('options_queries', d.queryId, { state: 'answered', source: d.source, options: d.options, refused: d.refused }),
  ]),
  on(e.optionsFailed, (d) => [merge('options_queries', d.queryId, { state: 'failed', cause: d.cause })]),
  on(e.vmCharacterised, ({ characterisation }) => [merge('characterisations', characterisation.vmId, () => characterisation)]),
  on(e.planMade, ({ plan }) => [
    merge('plans', plan.planId, {
      ...plan,
      template: refText(plan.basis.template),
      ready: plan.moves.every((m) => m.blockers.length === 0),
    }),
  ]),
];

/** What an end had said, where there is none any more. */
const goesOn = { endedAt: undefined, cause: undefined, figures: undefined } as const;

/** Migration, its moves and its operation come from one stream, `migration-<id>`. */
export const migrations: readonly Handler[] = [
  on(e.migrationRequested, ({ migrationId, plan, concurrency, policy, deadlineAt }, { at }) => [
    merge('migrations', migrationId, {
      migrationId,
      state: 'running',
      planId: plan.planId,
      template: refText(plan.basis.template),
      of: plan.of && { migrationId: plan.of.migrationId, as: plan.of.as },
      select: plan.select,
      vmIds: plan.moves.map((m) => m.vmId),
      planned: plan.moves.map(({ vmId, fromHost, toHost, fromType, toType, standsStill }) => ({
        ...(standsStill ? { standsStillSeconds: standsStill.seconds } : {}),
        vmId,
        fromHost,
        toHost,
        fromType: refText(fromType),
        toType: refText(toType),
      })),
      concurrency,
      policy,
      deadlineAt,
      startedAt: at,
    }),
    merge('operations', migrationId, {
      id: migrationId,
      kind: 'migration',
      name: refText(plan.basis.template),
      subject: migrationId,
      state: 'running',
      summary: `Migrate ${plan.moves.length === 1 ? '1 VM' : `${plan.moves.length} VMs`} by ${refText(plan.basis.template)}`,
      progress: { done: 0, total: plan.moves.length, unit: 'moves' },
      startedAt: at,
    }),
  ]),
  on(e.moveStarted, ({ migrationId, moveId, vmId, request }, { at }) => [
    merge('moves', moveId, { moveId, migrationId, vmId, state: 'running', workflowId: request.workflowId, startedAt: at }),
  ]),
  on(e.moveEnded, ({ migrationId, moveId, state, cause, figures }, { at }) => [
    merge('moves', moveId, { state, cause, figures, endedAt: at }),
    merge('operations', migrationId, (before) => {
      const progress = before['progress'] as { done: number } | undefined;
      return { progress: { ...progress, done: (progress?.done ?? 0) + 1 } };
    }),
  ]),
  on(e.moveResumed, ({ migrationId, moveId, reason, by }, { at }) => [
    merge('moves', moveId, { state: 'running', ...goesOn, lastRepair: { reason, by, at } }),
    merge('migrations', migrationId, { state: 'running', ...goesOn, counts: undefined }),
    merge('operations', migrationId, (before) => {
      const progress = before['progress'] as { done: number } | undefined;
      return { state: 'running', ...goesOn, progress: { ...progress, done: Math.max(0, (progress?.done ?? 0) - 1) } };
    }),
  ]),
  on(e.approvalAsked, ({ moveId, until, onTimeout, meanwhile }, { at, tenant }) => [
    merge('moves', moveId, {
      approval: { since: at, until, onTimeout, meanwhile, waitsFor: `an operator of ${tenant}, or of the fleet` },
    }),
  ]),
  on(e.approvalSettled, ({ moveId, verdict, by, reason }, { at }) => [
    merge('moves', moveId, (before) => ({
      approval: { ...(before['approval'] as object), waitsFor: undefined, verdict, by, reason, at },
    })),
  ]),
  on(e.migrationCancelRequested, ({ migrationId, reason }) => [
    merge('migrations', migrationId, { cancelRequested: reason }),
    merge('operations', migrationId, { cancelRequested: reason }),
  ]),
  on(e.migrationPaused, ({ migrationId, ...paused }, { at }) => [
    merge('migrations', migrationId, (before) => {
      const since = (before['paused'] as { since: string } | undefined)?.since ?? at; // paused anew, it has not gone on between
      return { state: 'paused', paused: { ...paused, since } };
    }),
  ]),
  on(e.migrationResumed, ({ migrationId }) => [merge('migrations', migrationId, { state: 'running', paused: undefined })]),
  on(e.migrationEnded, ({ migrationId, state, cause, counts }, { at }) => [
    merge('migrations', migrationId, { state, cause, counts, paused: undefined, endedAt: at }),
    merge('operations', migrationId, { state, cause, endedAt: at }),
  ]),
];
