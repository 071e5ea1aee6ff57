import { parseRef, refText, type Blocker, type Code } from '@chrysalis/contracts';
import { madeTemplate, type KnownType, type KnownVm, type RunResults } from '@chrysalis/migration-templates-core';
import type { MessageContext } from '@chrysalis/service-kit';
import { knownType } from '../known/types.ts';
import { publishMade, type Template } from '../publish-made.ts';
import { reach, type Run } from '../sql/runs.ts';
import { keepName, versionsOf } from '../sql/templates.ts';

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
  if (!target) return blocked(group, 'vm-type.unknown', refText(wanted), `there is no type ${refText(wanted)}`);
  const made = madeTemplate({ ref: first.type, spec: first.spec }, target, move);
  const template = await publishMade(made, [{ ref: first.type, spec: first.spec }, target], ctx);
  if ('fault' in template) return blocked(group, template.fault.code, made.name, JSON.stringify(template.fault).slice(0, 1000));
  return { ok: true, template, target, vms: group };
};

const byName = async (text: string, tenant: string | undefined, group: readonly KnownVm[], ctx: MessageContext): Promise<Chosen> => {
  const ref = parseRef(text)!;
  await keepName(ctx.tx, ctx.store.schema, ref.name);
  const row = (await versionsOf(ctx.tx, ctx.store.schema, ref.name, tenant)).find((t) => t.version === ref.version);
  if (!row) return blocked(group, 'template.unknown', text, `there is no migration template ${text}`);
  const target = await knownType(ctx.tx, ctx.store.schema, row.spec.options.targetType);
  if (!target) return blocked(group, 'vm-type.unknown', text, `the type that ${text} leads to is not known`);
  return { ok: true, template: { ref, spec: row.spec, retired: row.retired }, target, vms: group };
};

const blocked = (group: readonly KnownVm[], code: Code, subject: string, message: string): Chosen => {
  const blockers: Blocker[] = [{ code, subject: subject.slice(0, 255), message: message.slice(0, 1024) }];
  return { ok: false, results: Object.fromEntries(group.map(({ vmId }) => [vmId, { vmId, state: 'blocked' as const, blockers }])) };
};
