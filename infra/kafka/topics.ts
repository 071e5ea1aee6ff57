import { commandsTopic, commandsTopicConfig } from '@chrysalis/contracts';

export type TopicSpec = { readonly name: string; readonly partitions: number; readonly config: Readonly<Record<string, string>> };

const contexts = ['provisioning', 'resource-allocation', 'migration-templates', 'workflow', 'agent-gateway'] as const;

/** Order is kept per key, so the number of partitions bounds the parallel consumers of a group; it cannot be raised without moving keys. */
const partitions = 6;
const forEver = { 'retention.ms': '-1', 'retention.bytes': '-1' };
const week = { 'retention.ms': String(7 * 24 * 3_600_000) };
const hour = { 'retention.ms': String(3_600_000) };

/**
 * Every topic there is. Domain events are kept for ever; work for executors is done or lapsed within a week; what could not be handled
 * is in its consumer's own table, the dead topic only tells of it; progress is telemetry; commands carry tokens, and are gone within two hours.
 */
export const topics: readonly TopicSpec[] = [
  ...contexts.flatMap((context) => [
    { name: `chrysalis.${context}.events`, partitions, config: forEver },
    { name: `chrysalis.${context}.dead`, partitions: 1, config: week },
    { name: `chrysalis.tasks.${context}`, partitions, config: week },
  ]),
  { name: 'chrysalis.agent-gateway.progress', partitions, config: hour },
  { name: commandsTopic, partitions, config: commandsTopicConfig },
];
