import { FLEET_TENANT, refText, type ProblemCode, type Ref, type Refusal, type TemplateSpec } from '@chrysalis/contracts';
import { templateDecider, versionOf, type KnownType } from '@chrysalis/migration-templates-core';
import { ofTenant, type MessageContext } from '@chrysalis/service-kit';
import { insertTemplate } from './sql/templates.ts';

export type Template = Readonly<{ ref: Ref; spec: TemplateSpec; retired: boolean }>;

/** Made templates are published like any other, so that plan and history can be read afterwards: as the fleet's, for the next tenant's VMs go by them too. */
export const publishMade = async (
  { name, spec }: { name: string; spec: TemplateSpec },
  types: readonly KnownType[],
  context: MessageContext,
): Promise<Template | { fault: Refusal<ProblemCode> }> => {
  const ctx = ofTenant(context, FLEET_TENANT);
  const known = new Map(types.map((t) => [refText(t.ref), t.spec]));
  const decided = await ctx.decide(`template-${name}`, templateDecider, { kind: 'publish', name, spec, types: known });
  if (!decided.ok) return { fault: decided.rejection };
  const version = versionOf(decided.state, spec);
  await insertTemplate(ctx.tx, ctx.store.schema, { name, version, spec, at: ctx.now, tenant: FLEET_TENANT });
  return { ref: { name, version }, spec, retired: false };
};
