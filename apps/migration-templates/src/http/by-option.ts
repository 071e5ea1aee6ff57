import { Id, Name, parseRef, refText, type MigrationOption, type TemplateSpec } from '@chrysalis/contracts';
import { contentName, presented, templateFromOption, type ExtraSteps } from '@chrysalis/migration-templates-core';
import { ProblemError, type CommandContext } from '@chrysalis/service-kit';
import { z } from 'zod';
import { knownType, knownTypes } from '../known/types.ts';
import { knownVms } from '../known/vms.ts';
import { publishMade, type Template } from '../publish-made.ts';
import { workOut } from '../tasks.ts';
import { usableGrant } from './lookups.ts';

/** `large@2`, or `large` for any version. */
const TypeText = z.string().refine((t) => parseRef(t) !== undefined || Name.safeParse(t).success, 'name@version, or a name');
export const ByOption = z.strictObject({
  to: TypeText.optional(),
  option: z.string().max(255).optional(),
  /** With it the options are those of what agents have found; without it the failsafe ones. */
  grantId: Id.optional(),
});
type ByOption = z.infer<typeof ByOption>;
export const oneWay = [
  (b: ByOption): boolean => (b.to === undefined) !== (b.option === undefined),
  'either `template`, `to` or `option`',
] as const;

/**
 * The template of the first option that fits, worked out from what is known now. Its name is made from its content and is the fleet's, as
 * those that drains make: the same again is the same, so that a thousand plans leave one.
 */
export const templateByOption = async (
  ctx: CommandContext,
  wanted: ByOption,
  vmIds: readonly string[],
): Promise<{ name: string; version: number } & Omit<Template, 'ref'>> => {
  const { grantId } = wanted;
  if (grantId !== undefined) await usableGrant(ctx, grantId, vmIds);
  const { options, refused } = await workOut(ctx, vmIds, ctx.caller.tenant, grantId !== undefined);
  const option = options.find((o) => fits(wanted, o.id));
  if (!option) throw (await unknownType(ctx, wanted)) ?? notOffered(wanted, refused);
  const spec = await specByOption(ctx, option, vmIds);
  const types = [
    await knownType(ctx.tx, ctx.store.schema, spec.sourceType),
    await knownType(ctx.tx, ctx.store.schema, spec.options.targetType),
  ];
  const template = await publishMade(
    { name: contentName(spec), spec },
    types.filter((t) => t !== undefined),
    ctx,
  );
  if ('fault' in template) throw ProblemError.of(template.fault);
  return { ...template, ...template.ref };
};

/** An option's id begins with the type that it leads to. */
const fits = ({ to, option }: ByOption, id: string): boolean =>
  option === id || (to !== undefined && id.startsWith(to.includes('@') ? `${to}/` : `${to}@`));

const unknownType = async ({ tx, store: { schema } }: CommandContext, { to }: ByOption): Promise<ProblemError | undefined> => {
  if (to === undefined) return undefined;
  const ref = parseRef(to);
  const there = ref ? await knownType(tx, schema, ref) : (await knownTypes(tx, schema)).find((t) => t.ref.name === to);
  return there ? undefined : ProblemError.ofMember({ code: 'vm-type.unknown', vmType: to });
};

const notOffered = (wanted: ByOption, refused: readonly { id: string; blockers: readonly object[] }[]): ProblemError => {
  const what = wanted.option ?? `to ${wanted.to!}`;
  return ProblemError.of({
    code: 'option.refused',
    option: what,
    message: `no option ${what} is offered for these VMs${wanted.grantId === undefined ? '; with a grant there may be more' : ''}`,
    refused: refused.filter((r) => fits(wanted, r.id)).slice(0, 100),
  });
};

export const specByOption = async (
  ctx: CommandContext,
  option: Omit<MigrationOption, 'hosts' | 'needsAgent'>,
  vmIds: readonly string[],
  steps?: ExtraSteps,
): Promise<TemplateSpec> => {
  const { schema } = ctx.store;
  const vms = await knownVms(ctx.tx, schema, vmIds, ctx.caller.tenant);
  const [first] = vms;
  const target = await knownType(ctx.tx, schema, option.targetType);
  if (!first || !target)
    throw ProblemError.ofMember({ code: 'vm.unknown', vmIds, message: `not known, or not running: ${vmIds.join(', ')}` });
  const others = vms.filter((vm) => refText(vm.type) !== refText(first.type)).map((vm) => vm.vmId);
  if (others.length > 0)
    throw ProblemError.of({ code: 'template.mixed_types', message: `a template takes one source type: ${refText(first.type)}`, others });
  return templateFromOption(option, first.type, presented(first), target.spec, steps);
};
