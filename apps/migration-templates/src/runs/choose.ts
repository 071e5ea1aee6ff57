import { type Blocker, type Code, FLEET_TENANT, parseRef, type Ref, refText, type TemplateSpec } from '@chrysalis/contracts';
import {
  madeTemplate,
  templateDecider,
  versionOf,
  type KnownType,
  type KnownVm,
  type RunResults,
} from '@chrysalis/migration-templates-core';
import { ofTenant, type MessageContext } from '@chrysalis/service-kit';
import { knownType } from '../known/types.ts';
import { reach, type Run } from '../sql/runs.ts';
import { insertTemplate, versionsOf } from '../sql/templates.ts';

export type Template = Readonly<{ ref: Ref; spec: TemplateSpec; retired: boolean }>;
export type Chosen =
  Readonly<{ ok: true; template: Template; target: KnownType; vms: readonly KnownVm[] }> | Readonly<{ ok: false; results: RunResults }>;

/** The VMs that go together with the first one, being of its tenant and type, and the template they go by. */
export const choose = async (run: Run, vms: readonly KnownVm[], ctx: MessageContext): Promise<Chosen> => {
  const first = vms[0]!;
  const group = vms.filter((vm) => vm.tenant === first.tenant && refText(vm.type) === refText(first.type));
  const { template: named, toType, move = false } = run.input;
  if (named !== undefined) return byName(named, reach(run), group, ctx);
  const wanted = toType === undefined ? first.type : parseRef(toType)!;
  const target = await knownType(ctx.tx, ctx.store.schema, wanted);
  if (!target) return blocked(group, 'type.unknown', refText(wanted), `there is no type ${refText(wanted)}`);
  const made = madeTemplate({ ref: first.type, spec: first.spec }, target, move);
  const template = await publish(made, [{ ref: first.type, spec: first.spec }, target], ofTenant(ctx, FLEET_TENANT));
  if ('fault' in template) return blocked(group, template.fault.code, made.name, template.fault.message);
  return { ok: true, template, target, vms: group };
};

const byName = async (text: string, tenant: string | undefined, group: readonly KnownVm[], ctx: MessageContext): Promise<Chosen> => {
  const ref = parseRef(text)!;
  const row = (await versionsOf(ctx.tx, ctx.store.schema, ref.name, tenant)).find((t) => t.version === ref.version);
  if (!row) return blocked(group, 'template.unknown', text, `there is no migration template ${text}`);
  const target = await knownType(ctx.tx, ctx.store.schema, row.spec.options.targetType);
  if (!target) return blocked(group, 'type.unknown', text, `the type that ${text} leads to is not known`);
  return { ok: true, template: { ref, spec: row.spec, retired: row.retired }, target, vms: group };
};

/** Made templates are published like any other, so that plan and history can be read afterwards: as the fleet's, for the next tenant's VMs go by them too. */
const publish = async (
  { name, spec }: { name: string; spec: TemplateSpec },
  types: readonly KnownType[],
  ctx: MessageContext,
): Promise<Template | { fault: { code: Code; message: string } }> => {
  const known = new Map(types.map((t) => [refText(t.ref), t.spec]));
  const decided = await ctx.decide(`template-${name}`, templateDecider, { kind: 'publish', name, spec, types: known });
  if (!decided.ok) return { fault: { code: decided.rejection.code, message: JSON.stringify(decided.rejection).slice(0, 1000) } };
  const version = versionOf(decided.state, spec);
  await insertTemplate(ctx.tx, ctx.store.schema, { name, version, spec, at: ctx.now, tenant: ctx.meta.tenant });
  return { ref: { name, version }, spec, retired: false };
};

const blocked = (group: readonly KnownVm[], code: Code, subject: string, message: string): Chosen => {
  const blockers: Blocker[] = [{ code, subject: subject.slice(0, 255), message: message.slice(0, 1024) }];
  return { ok: false, results: Object.fromEntries(group.map(({ vmId }) => [vmId, { vmId, state: 'blocked' as const, blockers }])) };
};
