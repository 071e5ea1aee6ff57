import { migrationTemplatesEvents, type Cause, type Outcome, type RunResult } from '@chrysalis/contracts';
import { canonicalJson } from '@chrysalis/kernel';
import {
  failuresIn,
  isFound,
  mayGoOn,
  migrationDecider,
  outputOf,
  resultsOf,
  unneeded,
  type KnownVm,
  type MigrationState,
  type RunResults,
} from '@chrysalis/migration-templates-core';
import { ofTenant, report, type MessageContext } from '@chrysalis/service-kit';
import { hostStanding } from '../known/hosts.ts';
import { tenantOfMigration } from '../sql/migrations.ts';
import { undoneSince } from '../sql/moves.ts';
import { earlierDrain, openRunsOf, runOfMigration, writeRun, type Run } from '../sql/runs.ts';
import { begin } from './begin.ts';
import { choose } from './choose.ts';
import { cancelled, stopOf, timeIsUp } from './stops.ts';
import { leftThere, sceneOf, type Scene, type Subject } from './subjects.ts';

/** What other services told last may still be on its way: so long it is waited for, then it is what it seems. */
const SETTLE_MS = { named: 2_000, found: 30_000 };
/** A VM whose move was undone has its turn again when the others have had theirs. */
const TRIES = 2;
/** As many in one migration: what is known of hosts is looked at anew for the next ones. */
const AT_ONCE = 100;

/**
 * On to the next migration, or to the end: from what is known now, whatever was known at the last step. So it may be called at any time,
 * and as often as one likes: when the task comes, when a migration ends, and each second by the round.
 */
export const step = async (run: Run, ctx: MessageContext): Promise<Run> => {
  const up = timeIsUp(run, ctx.now);
  if (run.migrationId !== null) return underWay(run, up, ctx);
  const scene = await sceneOf(run, ctx);
  const stop = run.stop ?? up ?? stopOf(run, scene.host);
  if (stop) return ended({ ...run, stop }, scene.subjects);
  if (run.input.hostId !== undefined && (scene.host?.version ?? -1) < (run.input.since ?? 0)) return run; // what made it begin is not heard here yet
  return goOn(settled(run, scene, ctx.now), scene, ctx);
};

/** Its migration goes on by itself, unless nothing more is wanted: then it is cancelled, and only time does not wait for its end. */
const underWay = async (run: Run, up: Cause | undefined, ctx: MessageContext): Promise<Run> => {
  const { hostId } = run.input;
  const stop = run.stop ?? up ?? stopOf(run, hostId === undefined ? undefined : await hostStanding(ctx.tx, ctx.store.schema, hostId));
  if (!stop) return run;
  const next = run.stop ? run : await stopRun(run, stop, ctx);
  return up ? ended({ ...next, migrationId: null }, (await sceneOf(next, ctx)).subjects) : next;
};

const stopRun = async (run: Run, stop: Cause, ctx: MessageContext): Promise<Run> => {
  if (run.migrationId !== null) {
    const command = { kind: 'cancel' as const, migrationId: run.migrationId, reason: stop.message.slice(0, 255) };
    const tenant = (await tenantOfMigration(ctx.tx, ctx.store.schema, run.migrationId)) ?? run.tenant;
    const decided = await ofTenant(ctx, tenant).decide(`migration-${run.migrationId}`, migrationDecider, command); // refused where it has ended: then its end is on its way
    // Nothing of it was under way, so that was its end, which nobody else will tell of.
    if (decided.ok && decided.events.some((e) => e.type === migrationTemplatesEvents.migrationEnded.type))
      return { ...run, stop, results: { ...run.results, ...resultsOf(decided.state) }, migrationId: null };
  }
  return { ...run, stop };
};

/** Notes since when each that should settle has been waited for. */
const settled = (run: Run, { subjects }: Scene, now: string): Run => {
  const settling = Object.fromEntries(
    subjects.flatMap(({ consumer, standing: s }) => (s.state === 'waits' && s.settles ? [[consumer, run.settling[consumer] ?? now]] : [])),
  );
  return canonicalJson(settling) === canonicalJson(run.settling) ? run : { ...run, settling };
};

const goOn = async (run: Run, { subjects }: Scene, ctx: MessageContext): Promise<Run> => {
  if (subjects.length > 0 && run.input.hostId !== undefined && (await earlierDrain(ctx.tx, ctx.store.schema, run))) return run;
  const free = subjects.flatMap(({ standing: s }) => (s.state === 'free' ? [s.vm] : []));
  const first = free.filter((vm) => run.results[vm.vmId] === undefined);
  const tried = await moveOn(run, first, ctx);
  if (tried.run.stop) return ended(tried.run, subjects);
  if (tried.begun || subjects.some((s) => waits(tried.run, s, ctx.now))) return tried.run;
  // A host that was enabled just before, and would take them, may still be on its way to here; and so may a VM of the type.
  const early = isFound(run.input) && Date.parse(ctx.now) - Date.parse(run.startedAt) < SETTLE_MS.named;
  const blocked = free.some((vm) => tried.run.results[vm.vmId]?.state === 'blocked');
  if (early && (blocked || run.input.ofType !== undefined)) return tried.run;
  const rest = free.filter((vm) => !first.includes(vm));
  const last = await moveOn(tried.run, await onceMore(tried.run, rest, ctx), ctx);
  return last.begun ? last.run : ended(last.run, subjects);
};

const waits = (run: Run, { consumer, vmId, standing: s }: Subject, now: string): boolean => {
  if (s.state !== 'waits') return false;
  if (vmId !== undefined && !isFound(run.input) && run.results[vmId] !== undefined) return false;
  const patience = SETTLE_MS[isFound(run.input) ? 'found' : 'named'];
  return !s.settles || Date.parse(now) - Date.parse(run.settling[consumer] ?? now) < patience;
};

/** Before a run ends who was blocked is planned once more, for others have gone since; and who was undone where nobody named the VMs. */
const onceMore = async (run: Run, vms: readonly KnownVm[], ctx: MessageContext): Promise<KnownVm[]> => {
  const state = (vm: KnownVm): string | undefined => run.results[vm.vmId]?.state;
  const undone = isFound(run.input)
    ? vms.map((vm) => vm.vmId).filter((id) => ['undone', 'failed'].includes(run.results[id]?.state ?? ''))
    : [];
  const times = await undoneSince(ctx.tx, ctx.store.schema, undone, run.startedAt);
  return vms.filter((vm) => state(vm) === 'blocked' || (undone.includes(vm.vmId) && (times.get(vm.vmId) ?? TRIES) < TRIES));
};

/** `begun`: it has a migration under way now, or would have but for another move at this moment; then it is looked at again. */
type Tried = Readonly<{ run: Run; begun: boolean }>;

/** The next migration of these. Each turn settles at least one VM, so it ends: who is blocked or has nothing to gain has a result at once. */
const moveOn = async (run: Run, vms: readonly KnownVm[], ctx: MessageContext): Promise<Tried> => {
  let now = run;
  for (let left = vms; left.length > 0;) {
    if (!mayGoOn(now.input, now.results)) {
      const stop = { code: 'migration.too_many_failures', message: `${failuresIn(now.results)} moves did not succeed` };
      return { run: { ...now, stop }, begun: false };
    }
    const turn = await oneTurn(now, left, ofTenant(ctx, left[0]!.tenant));
    if (turn.begun) return turn;
    now = turn.run;
    left = left.filter((vm) => !turn.settled.has(vm.vmId));
  }
  return { run: now, begun: false };
};

const oneTurn = async (run: Run, vms: readonly KnownVm[], ctx: MessageContext): Promise<Tried & { settled: ReadonlySet<string> }> => {
  const chosen = await choose(run, vms, ctx);
  const having = (results: RunResults): Run => ({ ...run, results: { ...run.results, ...results } });
  if (!chosen.ok) return { run: having(chosen.results), begun: false, settled: new Set(Object.keys(chosen.results)) };
  const idle = chosen.vms.filter((vm) => unneeded(run.input, vm, chosen.template.spec));
  const there: RunResults = Object.fromEntries(
    idle.map(({ vmId, hostId }) => [vmId, { vmId, state: 'unneeded', toHost: hostId } as const]),
  );
  const going = chosen.vms.filter((vm) => !idle.includes(vm)).slice(0, AT_ONCE);
  const { blocked, late, migrationId } = going.length > 0 ? await begin(run, { ...chosen, vms: going }, ctx) : { blocked: {} };
  const next = having({ ...there, ...blocked });
  const settled = new Set([...idle, ...going].map((vm) => vm.vmId));
  if (migrationId === undefined) return { run: next, begun: late === true, settled };
  const open = without(next.results, going.filter((vm) => !Object.hasOwn(blocked, vm.vmId))); // prettier-ignore
  return { run: { ...next, results: open, migrationId }, begun: true, settled };
};

/** What became of them earlier is over: they go now. */
const without = (results: RunResults, vms: readonly KnownVm[]): RunResults => {
  const gone = new Set(vms.map((vm) => vm.vmId));
  return Object.fromEntries(Object.entries(results).filter(([id]) => !gone.has(id)));
};

/** Everybody who is there has a result now. A run that was cancelled has failed: what it has moved stays where it is. */
const ended = (run: Run, subjects: readonly Subject[]): Run => {
  const results = { ...run.results };
  for (const s of subjects) {
    if (s.vmId === undefined) continue;
    const result = results[s.vmId] ?? notBegun(s.vmId, s, run);
    results[s.vmId] = s.name === undefined ? result : { ...result, name: s.name };
  }
  const left = run.input.hostId === undefined ? undefined : leftThere(run, subjects);
  const outcome: Outcome = cancelled(run.stop)
    ? { ok: false, cause: { ...run.stop, retriable: false } }
    : { ok: true, output: outputOf(run.input, results, left) };
  return { ...run, results, migrationId: null, settling: {}, outcome };
};

const notBegun = (vmId: string, { standing: s }: Subject, { stop, input }: Run): RunResult => {
  if (s.state === 'free') return { vmId, state: 'not-begun', ...(stop ? { cause: stop } : {}) };
  const { code, message } = s.cause;
  if (code === 'vm.unknown' && !isFound(input)) return { vmId, state: 'blocked', blockers: [{ code, subject: vmId, message }] };
  return { vmId, state: 'not-begun', cause: s.cause };
};

/** Written down, and where it has ended its task is reported, in one commit. */
export const keep = async (run: Run, ctx: MessageContext): Promise<void> => {
  await writeRun(ctx.tx, ctx.store.schema, run);
  if (!run.outcome) return;
  const told = { reported: migrationTemplatesEvents.taskReported, startedAt: run.startedAt };
  await report(ofTenant(ctx, run.tenant), run.dispatch, run.outcome, told);
};

/** A migration has ended, in the transaction that says so: what is left of its run goes on, or its task is reported. */
export const migrationEnded = async (migrationId: string, migration: MigrationState, ctx: MessageContext): Promise<void> => {
  const run = await runOfMigration(ctx.tx, ctx.store.schema, migrationId);
  if (!run) return;
  const by = migration.status === 'none' ? undefined : migration.cancelled;
  const stop = run.stop ?? (by === undefined ? null : { code: 'migration.cancelled', message: by });
  await keep(await step({ ...run, results: { ...run.results, ...resultsOf(migration) }, stop, migrationId: null }, ctx), ctx);
};

/** Its workflow wants no more of it: nothing further begins, and its task is reported when what is under way has ended. */
export const runsCancelled = async (workflowId: string, cause: Cause, ctx: MessageContext): Promise<void> => {
  for (const run of await openRunsOf(ctx.tx, ctx.store.schema, workflowId)) {
    const stopping = await stopRun(run, cause, ctx);
    await keep(stopping.migrationId === null ? ended(stopping, (await sceneOf(run, ctx)).subjects) : stopping, ctx);
  }
};
