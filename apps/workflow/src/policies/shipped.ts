import { createHash } from 'node:crypto';
import { FLEET_TENANT, parseRef, workflowTemplateEvents, type PolicySpec, type WorkflowTemplate } from '@chrysalis/contracts';
import { messageContext, type MessageContext, type ServiceContext } from '@chrysalis/service-kit';
import { judgeTemplate, shippedPolicies, shippedTemplates, templateRegistry, templateVersion } from '@chrysalis/workflow-core';
import { insertTemplate } from '../sql/templates.ts';
import { decidePolicy, startable } from './decide.ts';
import { lockPolicy, lockShipped } from './sql.ts';

/**
 * Publishes what the service brings along, at each start: a template whose content is there already is that version, and a policy whose
 * name was ever used is left alone, enabled, changed or removed as somebody wanted it. Instances that start together take turns.
 */
export const ship = (service: ServiceContext): Promise<void> =>
  service.store.transaction(
    async (tx) => {
      await lockShipped(tx, service.schema);
      const meta = { at: service.clock(), correlationId: service.newId(), actor: 'service:workflow', tenant: FLEET_TENANT };
      const ctx = messageContext(service, tx, meta);
      const versions = new Map<string, number>();
      for (const template of shippedTemplates) versions.set(template.name, await publish(template, ctx));
      for (const spec of shippedPolicies((name) => versions.get(name)!)) await establish(spec, ctx);
    },
    { attempts: 5 },
  );

/** 0 where somebody has retired the template: then its policy is not for starting. */
const publish = async (template: WorkflowTemplate, ctx: MessageContext): Promise<number> => {
  const judged = judgeTemplate(template);
  if (!judged.ok) throw new Error(`the template ${template.name} that comes along has faults: ${JSON.stringify(judged.faults)}`);
  const digest = `sha256:${createHash('sha256').update(judged.text).digest('hex')}`;
  const decided = await ctx.decide(`workflow-template-${template.name}`, templateRegistry, { type: 'publish', template, digest });
  if (!decided.ok) return 0;
  for (const { type, data } of decided.events)
    if (type === workflowTemplateEvents.templatePublished.type) await insertTemplate(ctx.tx, ctx.store.schema, data.definition, ctx.now);
  return templateVersion(decided.state, digest);
};

const establish = async (spec: PolicySpec, ctx: MessageContext): Promise<void> => {
  if (await lockPolicy(ctx.tx, ctx.store.schema, spec.name)) return;
  if (!parseRef(spec.start.template)) return; // its template is retired
  const template = await startable(ctx.tx, ctx.store.schema, spec.start.template);
  const decided = await decidePolicy(spec.name, { type: 'establish', spec, tenant: FLEET_TENANT, template, at: ctx.now }, ctx);
  if (!decided.ok) throw new Error(`the policy ${spec.name} that comes along has faults: ${JSON.stringify(decided.rejection)}`);
};
