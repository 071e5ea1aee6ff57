import type { TaskGroup } from './define.ts';

export const contexts = ['provisioning', 'resource-allocation', 'migration-templates', 'workflow', 'agent-gateway'] as const;
export type Context = (typeof contexts)[number];

export const eventsTopic = (context: Context): string => `chrysalis.${context}.events`;
export const deadTopic = (context: Context): string => `chrysalis.${context}.dead`;
export const tasksTopic = (group: TaskGroup): string => `chrysalis.tasks.${group}`;
/** Telemetry: short retention, sampled, may be lost. */
export const progressTopic = 'chrysalis.agent-gateway.progress';
