import { FLEET_TENANT, refText, type TemplateSpec, type VmTypeSpec } from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import { isMadeName, templateDecider, typesNamed, versionOf } from '@chrysalis/migration-templates-core';
import {
  etag,
  ofTenant,
  ProblemError,
  reaches,
  reachOf,
  type Caller,
  type CommandContext,
  type ServiceContext,
} from '@chrysalis/service-kit';
import { eventually } from '../known/eventually.ts';
import { knownType } from '../known/types.ts';
import { insertTemplate, takeName, templatesThere, versionsOf, type TemplateRow } from '../sql/templates.ts';

type Published = {
  status: number;
  body: { name: string; version: number; ref: string; spec: TemplateSpec };
  headers: Record<string, string>;
};

/** A version of this name: the one that has the spec already, or the next. */
export const publishSpec = async (ctx: CommandContext, name: string, spec: TemplateSpec): Promise<Published> => {
  const { schema } = ctx.store;
  const types = await typesOf(ctx.tx, schema, spec);
  const tenant = await takeFor(ctx, name);
  const decided = await ctx.decide(`template-${name}`, templateDecider, { kind: 'publish', name, spec, types });
  if (!decided.ok) throw ProblemError.of(decided.rejection);
  const version = versionOf(decided.state, spec);
  await insertTemplate(ctx.tx, schema, { name, version, spec, at: ctx.now, tenant });
  return answerOf(201, name, version, spec, decided.version);
};

/** The next version of one that is there; `from`: the version that its caller has seen, `ifVersion`: of its stream. */
export const updateSpec = async (
  ctx: CommandContext,
  name: string,
  { spec, from }: { readonly spec: TemplateSpec; readonly from: number | undefined },
  ifVersion: number | undefined,
): Promise<Published> => {
  const { schema } = ctx.store;
  const row = await ownTemplate(ctx, name);
  const types = await typesOf(ctx.tx, schema, spec);
  await takeName(ctx.tx, schema, name, row.tenant);
  const as = ofTenant(ctx, row.tenant);
  const decided = await as.decide(`template-${name}`, templateDecider, { kind: 'update', name, spec, types, from }, { ifVersion });
  if (!decided.ok) throw ProblemError.of(decided.rejection);
  const version = versionOf(decided.state, spec);
  await insertTemplate(ctx.tx, schema, { name, version, spec, at: ctx.now, tenant: row.tenant });
  return answerOf(200, name, version, spec, decided.version);
};

const answerOf = (status: number, name: string, version: number, spec: TemplateSpec, stream: number): Published => ({
  status,
  body: { name, version, ref: `${name}@${version}`, spec },
  headers: { location: `/v1/migration-templates/${name}/${version}`, ...etag(stream) },
});

/** A name is its tenant's who publishes it first: a version by somebody else would be what `name` alone means from then on. */
const takeFor = async ({ tx, store, caller: { tenant } }: CommandContext, name: string): Promise<string> => {
  if (isMadeName(name) && tenant !== FLEET_TENANT)
    throw ProblemError.of({
      code: 'template.name_reserved',
      name,
      message: `${name} is a name as the fleet makes them: take another name`,
    });
  const taken = await takeName(tx, store.schema, name, tenant);
  if (taken === tenant) return tenant;
  throw ProblemError.of({ code: 'template.name_taken', name, message: `${name} is a template of somebody else: take another name` });
};

const typesOf = async (db: Queryable, schema: string, spec: unknown): Promise<Map<string, VmTypeSpec>> => {
  const found = [];
  for (const ref of typesNamed(spec)) found.push(await knownType(db, schema, ref));
  return new Map(found.flatMap((t) => (t ? [[refText(t.ref), t.spec] as const] : [])));
};

/** Before the transaction that needs them: types that provisioning has only just told of. */
export const typesTold = async ({ pool, schema }: ServiceContext, spec: unknown): Promise<Map<string, VmTypeSpec>> => {
  const named = new Set(typesNamed(spec).map(refText));
  const told = (types: ReadonlyMap<string, VmTypeSpec>): boolean => types.size === named.size;
  await eventually(pool, (db) => typesOf(db, schema, spec), told);
  return typesOf(pool, schema, spec);
};

/** One that the caller may change. The fleet's every tenant may use, and none may change. */
export const ownTemplate = async (ctx: CommandContext, name: string): Promise<TemplateRow> => {
  const [row] = await versionsOf(ctx.tx, ctx.store.schema, name, reachOf(ctx.caller));
  if (!row || !reaches(ctx.caller, row.tenant)) throw await unknownTemplate(ctx.tx, ctx.store.schema, ctx.caller, name);
  return row;
};

/** A version that the caller sees: the newest, or the one that is asked for. */
export const seenVersion = async (db: Queryable, schema: string, caller: Caller, name: string, version?: number): Promise<TemplateRow> => {
  const rows = await versionsOf(db, schema, name, reachOf(caller));
  const row = version === undefined ? rows[0] : rows.find((r) => r.version === version);
  if (!row) throw await unknownTemplate(db, schema, caller, name, version);
  return row;
};

/** Within a transaction on its own connection: who waits for a second one while holding a first may wait for ever. */
export const unknownTemplate = async (
  db: Queryable,
  schema: string,
  caller: Caller,
  name: string,
  version?: number,
): Promise<ProblemError> => {
  const known = await templatesThere(db, schema, name, reachOf(caller));
  return ProblemError.of({ code: 'template.unknown', template: version === undefined ? name : `${name}@${version}`, known });
};
