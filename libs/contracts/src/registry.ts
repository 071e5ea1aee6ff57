import { agentGatewayEvents } from './agent-gateway.ts';
import type { EventContract } from './define.ts';
import { kinds } from './kinds/index.ts';
import { migrationTemplatesEvents } from './migration-templates.ts';
import { provisioningEvents } from './provisioning.ts';
import { resourceAllocationEvents } from './resource-allocation.ts';
import { workflowPolicyEvents } from './workflow-policies.ts';
import { workflowQueueEvents } from './workflow-queue.ts';
import { workflowTemplateEvents } from './workflow-templates.ts';
import { workflowEvents } from './workflow.ts';
import type { Context } from './topics.ts';

/** Every event version ever shipped, by context. A new event is a line in its context's file and a frozen example in ../examples. */
export const eventsByContext: Readonly<Record<Context, Readonly<Record<string, EventContract>>>> = {
  provisioning: Object.assign({}, provisioningEvents, ...kinds.map((k) => k.events)) as Readonly<Record<string, EventContract>>,
  'resource-allocation': resourceAllocationEvents,
  'migration-templates': migrationTemplatesEvents,
  workflow: { ...workflowEvents, ...workflowPolicyEvents, ...workflowQueueEvents, ...workflowTemplateEvents },
  'agent-gateway': agentGatewayEvents,
};
export const contractOf: ReadonlyMap<string, EventContract> = new Map(
  Object.values(eventsByContext).flatMap((r) => Object.values(r).map((c) => [c.type, c] as const)),
);
/** The context whose streams, and so whose topic, an event's type is of. */
export const contextOf: ReadonlyMap<string, Context> = new Map(
  (Object.entries(eventsByContext) as [Context, Readonly<Record<string, EventContract>>][]).flatMap(([context, r]) =>
    Object.values(r).map((c) => [c.type, context] as const),
  ),
);
