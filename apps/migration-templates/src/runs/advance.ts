import type { Outcome } from '@chrysalis/contracts';
import {
  failuresIn,
  leftOf,
  mayGoOn,
  outputOf,
  resultsOf,
  stopped,
  unneeded,
  type MigrationState,
  type RunResults,
} from '@chrysalis/migration-templates-core';
import { ofTenant, report, type MessageContext } from '@chrysalis/service-kit';
import { migrationTemplatesEvents } from '@chrysalis/contracts';
import { knownVms } from '../known/vms.ts';
import { reach, runOfMigration, writeRun, type Run } from '../sql/runs.ts';
import { begin } from './begin.ts';
import { choose } from './choose.ts';

/**
 * On to the next migration, or to the end. Each turn settles at least one VM, so it ends: a VM that is not known, is blocked or has
 * nothing to gain has its result at once, and one that goes has it when its move ends.
 */
export const advance = async (run: Run, ctx: MessageContext): Promise<Run> => {
  let { results } = run;
  for (;;) {
    const { input } = run;
    if (!mayGoOn(input, results))
      results = stopped(input, results, 'migration.too_many_failures', `${failuresIn(results)} moves did not succeed`);
    const left = leftOf(input, results);
    if (left.length === 0) return { ...run, results, migrationId: null, outcome: ended(run, results) };
    const vms = await knownVms(ctx.tx, ctx.store.schema, left, reach(run));
    results = { ...results, ...notKnown(left, new Set(vms.map((vm) => vm.vmId))) };
    const [first] = vms;
    if (!first) continue;
    const own = ofTenant(ctx, first.tenant);
    const chosen = await choose(run, vms, own);
    if (!chosen.ok) {
      results = { ...results, ...chosen.results };
      continue;
    }
    const idle = chosen.vms.filter((vm) => unneeded(input, vm, chosen.template.spec));
    results = {
      ...results,
      ...Object.fromEntries(idle.map(({ vmId, hostId }) => [vmId, { vmId, state: 'unneeded', toHost: hostId } as const])),
    };
    const going = chosen.vms.filter((vm) => !idle.includes(vm));
    if (going.length === 0) continue;
    const begun = await begin(run, { ...chosen, vms: going }, own);
    results = { ...results, ...begun.blocked };
    if (begun.migrationId !== undefined) return { ...run, results, migrationId: begun.migrationId };
  }
};

const ended = ({ input }: Run, results: RunResults): Outcome => ({ ok: true, output: outputOf(input, results) });

const notKnown = (left: readonly string[], known: ReadonlySet<string>): RunResults =>
  Object.fromEntries(
    left
      .filter((id) => !known.has(id))
      .map((vmId) => {
        const blockers = [{ code: 'vm.unknown', subject: vmId, message: `${vmId} is not known, or not running` }];
        return [vmId, { vmId, state: 'blocked' as const, blockers }];
      }),
  );

/** A migration has ended, in the transaction that says so: what is left of its run goes on, or its task is reported. */
export const migrationEnded = async (migrationId: string, migration: MigrationState, ctx: MessageContext): Promise<void> => {
  const { tx, store } = ctx;
  const run = await runOfMigration(tx, store.schema, migrationId);
  if (!run) return;
  let results: RunResults = { ...run.results, ...resultsOf(migration) };
  const cancelled = migration.status === 'none' ? undefined : migration.cancelled;
  if (cancelled !== undefined) results = stopped(run.input, results, 'migration.cancelled', cancelled);
  const next = await advance({ ...run, results, migrationId: null }, ctx);
  await writeRun(tx, store.schema, next);
  if (!next.outcome) return;
  const own = ofTenant(ctx, run.tenant);
  await report(own, next.dispatch, next.outcome, { reported: migrationTemplatesEvents.taskReported, startedAt: run.startedAt });
};
