import { refText, type Plan, type Ref } from '@chrysalis/contracts';
import { doneSince, inverseOf, leftOf, movedBy, type MigrationState } from '@chrysalis/migration-templates-core';
import { ProblemError, reaches, type CommandContext } from '@chrysalis/service-kit';
import { knownType } from '../known/types.ts';
import { vmsNamed } from '../known/vms.ts';
import { knownSet } from '../moves/set-state.ts';
import { publishMade } from '../publish-made.ts';
import { tenantOfMigration } from '../sql/migrations.ts';
import { everVersion, type TemplateRow } from '../sql/templates.ts';

type Row = Pick<TemplateRow, 'name' | 'version' | 'spec' | 'retired'>;
/** Of whom a plan is to be, by which template, and where to, if it says so. */
export type Wanted = Readonly<{ vmIds: readonly string[]; row: Row; toHosts?: ReadonlyMap<string, string>; of?: Plan['of'] }>;

/** The rest of a migration that has ended, by its own template. */
export const retryOf = async (ctx: CommandContext, migrationId: string): Promise<Wanted> => {
  const { state, row } = await endedSet(ctx, migrationId);
  return { ...(await stillOpen(ctx, state, leftOf(state), 'retry')), row };
};

/** Those that it moved, back by the inverse of its template: by the one that leads from its target type to its source type. */
export const undoOf = async (ctx: CommandContext, migrationId: string): Promise<Wanted> => {
  const { state, row } = await endedSet(ctx, migrationId);
  const toHosts = movedBy(state);
  const those = await stillOpen(ctx, state, [...toHosts.keys()], 'undo');
  const { sourceType, options } = row.spec;
  const [source, target] = [await typeOf(ctx, sourceType), await typeOf(ctx, options.targetType)];
  const made = await publishMade(inverseOf(row.spec, source, target), [source, target], ctx);
  if ('fault' in made) throw ProblemError.of(made.fault);
  return { ...those, row: { ...made.ref, spec: made.spec, retired: made.retired }, toHosts };
};

const endedSet = async (ctx: CommandContext, migrationId: string) => {
  const tenant = await tenantOfMigration(ctx.tx, ctx.store.schema, migrationId);
  const { state } = await knownSet(ctx, migrationId);
  if (tenant === undefined || !reaches(ctx.caller, tenant) || state.status === 'none')
    throw ProblemError.of({ code: 'migration.unknown', migrationId });
  if (isUnderWay(state)) throw ProblemError.of({ code: 'migration.running', migrationId });
  const { name, version } = state.plan.basis.template;
  const row = await everVersion(ctx.tx, ctx.store.schema, name, version);
  if (!row) throw new Error(`${name}@${version}, by which ${migrationId} went, is not known`);
  return { state, row };
};
type EndedSet = Exclude<MigrationState, { status: 'none' }>;
const isUnderWay = ({ status }: MigrationState): boolean => status === 'running';

const typeOf = async (ctx: CommandContext, ref: Ref) => {
  const type = await knownType(ctx.tx, ctx.store.schema, ref);
  if (!type) throw ProblemError.ofMember({ code: 'vm-type.unknown', vmType: refText(ref) });
  return type;
};

/** Without those that were deleted since, and those for whom it is done already: they are not to hold up the others. */
const stillOpen = async ({ tx, store }: CommandContext, state: EndedSet, vmIds: readonly string[], as: 'retry' | 'undo') => {
  const { migrationId } = state;
  const there = new Map((await vmsNamed(tx, store.schema, vmIds)).map((vm) => [vm.vmId, vm]));
  const gone = vmIds.filter((id) => !there.has(id));
  const done = doneSince(state, as, vmIds, there);
  const open = vmIds.filter((id) => there.has(id) && !done.includes(id));
  if (open.length === 0) throw ProblemError.of({ code: 'migration.nothing_left', migrationId, ...(done.length > 0 ? { done } : {}) });
  return { vmIds: open, of: { migrationId, as, ...(gone.length > 0 ? { gone } : {}), ...(done.length > 0 ? { done } : {}) } };
};
