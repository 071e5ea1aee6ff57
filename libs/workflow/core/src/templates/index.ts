import { FLEET_TENANT, type PolicySpec, type WorkflowTemplate } from '@chrysalis/contracts';
import { auditHolds } from './audit-holds.ts';
import { auditHost } from './audit-host.ts';
import { drainHost } from './drain-host.ts';
import { retireVmType } from './retire-vm-type.ts';

/** What the workflow service brings along: templates that it publishes, and a policy for each, which an operator may enable. */
export const shippedTemplates: readonly WorkflowTemplate[] = [drainHost, retireVmType, auditHolds, auditHost];

/** `version`: that under which the template is published here. */
export const shippedPolicies = (version: (template: string) => number): readonly PolicySpec[] => [
  {
    name: 'drain-retiring-hosts',
    summary: 'Move every VM off a host that is marked retiring, each time it is',
    on: { event: 'chrysalis.resource-allocation.host.state-changed.v1', when: 'event.data.to == "retiring"' },
    start: {
      template: `${drainHost.name}@${version(drainHost.name)}`,
      params: { hostId: '${event.data.hostId}', concurrency: 2 },
      subject: '${event.data.hostId}',
    },
    // Hosts do not wait for each other's; each moves two VMs at a time.
    limits: { maxRunning: 8 },
    tenant: FLEET_TENANT,
  },
  {
    name: 'retire-deprecated-types',
    summary: 'Give the VMs of a deprecated type its replacement, while they run',
    on: { event: 'chrysalis.provisioning.vm-type.deprecated.v1', when: 'has(event.data.replacement)' },
    start: {
      template: `${retireVmType.name}@${version(retireVmType.name)}`,
      params: {
        type: '${event.data.name}@${event.data.version}',
        replacement: '${event.data.replacement.name}@${event.data.replacement.version}',
        concurrency: 2,
      },
      subject: '${event.data.name}@${event.data.version}',
    },
    limits: { maxRunning: 1 },
    tenant: FLEET_TENANT,
  },
  {
    name: 'audit-holds-daily',
    summary: 'Look every night for holds that nobody owns',
    on: { schedule: '0 3 * * *' },
    start: { template: `${auditHolds.name}@${version(auditHolds.name)}`, params: {}, subject: 'allocations' },
    limits: { maxRunning: 1 },
    tenant: FLEET_TENANT,
  },
  {
    name: 'audit-returned-hosts',
    summary: 'Look what a host has that was lost and is back: meanwhile VMs may have gone from it without its hearing of that',
    on: {
      event: 'chrysalis.resource-allocation.host.state-changed.v1',
      when: 'event.data.from == "lost" && event.data.to == "enabled"',
    },
    start: {
      template: `${auditHost.name}@${version(auditHost.name)}`,
      params: { hostId: '${event.data.hostId}' },
      subject: '${event.data.hostId}',
    },
    limits: { maxRunning: 8 },
    tenant: FLEET_TENANT,
  },
];
