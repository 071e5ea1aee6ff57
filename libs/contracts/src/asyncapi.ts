import { z } from 'zod';
import { ToHostAgent, FromHostAgent } from './agent-protocol.ts';
import {
  CommandAnswer,
  commandAnsweredType,
  CommandAttributes,
  CommandData,
  commandsTopic,
  ReplyTopic,
  type CommandContract,
} from './commands.ts';
import { taskGroups, type EventContract } from './define.ts';
import { commandContracts } from './provisioning-commands.ts';
import { eventsByContext } from './registry.ts';
import { contexts, deadTopic, eventsTopic, progressTopic, tasksTopic, type Context } from './topics.ts';
import { workflowEvents } from './workflow.ts';

type Json = Record<string, unknown>;

/**
 * Everything that goes over the bus, and the frames of the agent channel, as an AsyncAPI 3 document.
 * Made from the contracts and from nothing else; payloads are JSON Schema draft 7, AsyncAPI's own dialect.
 */
export const asyncapi = (options: { version?: string } = {}): Json => ({
  asyncapi: '3.0.0',
  info: {
    title: 'Chrysalis events and agent channel',
    version: options.version ?? '0.1.0',
    description:
      'CloudEvents 1.0 in Kafka binary mode. Delivery is at least once and in order per key (`partitionkey`, the stream). ' +
      'A type ends in its version; a new version is a new type, and versions once shipped are upcast for ever.',
  },
  defaultContentType: 'application/json',
  channels: Object.fromEntries([
    ...contexts.map((c) => [`${c}.events`, eventsChannel(c)]),
    ...contexts.map((c) => [`${c}.dead`, deadChannel(c)]),
    ...taskGroups.map((g) => [`tasks.${g}`, tasksChannel(g)]),
    ['progress', progressChannel],
    ['commands', commandsChannel],
    ['replies', repliesChannel],
    ['agents', agentsChannel],
  ]),
  operations: Object.fromEntries([
    ...contexts.map((c) => [`${camel(c)}Publishes`, operation('send', `${c}.events`, `${c} publishes what happened in its streams`)]),
    ...contexts.map((c) => [`${camel(c)}Parks`, operation('send', `${c}.dead`, `Events that ${c} could not handle`)]),
    ...taskGroups.map((g) => [`${camel(g)}Executes`, operation('receive', `tasks.${g}`, `Executors of ${g} take work`)]),
    ['gatewaySamples', operation('send', 'progress', 'The gateway passes on samples of running moves')],
    [
      'provisioningIsTold',
      {
        ...operation('receive', 'commands', 'Provisioning does what it is told, as by HTTP, and answers'),
        reply: { address: { location: '$message.header#/ce_replyto' }, channel: { $ref: '#/channels/replies' } },
      },
    ],
    [
      'hostAgentTalks',
      { ...operation('receive', 'agents', 'A host agent talks to the gateway'), messages: [inChannel('agents', 'fromHostAgent')] },
    ],
    [
      'gatewayCommands',
      { ...operation('send', 'agents', 'The gateway commands a host agent'), messages: [inChannel('agents', 'toHostAgent')] },
    ],
  ]),
  components: { schemas: { CloudEvent: cloudEventHeaders, Command: commandHeaders }, messages: componentMessages() },
});

const refs = (names: readonly string[]): Json => Object.fromEntries(names.map((n) => [n, { $ref: `#/components/messages/${n}` }]));

const cloudEventHeaders: Json = {
  type: 'object',
  description: 'CloudEvents attributes, as `ce_` headers in Kafka binary mode',
  required: [
    'ce_specversion',
    'ce_id',
    'ce_type',
    'ce_source',
    'ce_subject',
    'ce_time',
    'ce_partitionkey',
    'ce_correlationid',
    'ce_actor',
    'ce_tenant',
  ],
  properties: {
    ce_specversion: { type: 'string', const: '1.0' },
    ce_id: { type: 'string', format: 'uuid', description: 'UUIDv7; the same for every delivery' },
    ce_type: { type: 'string', pattern: '^chrysalis\\.[a-z-]+\\.[a-z-]+\\.[a-z-]+\\.v[1-9][0-9]*$' },
    ce_source: { type: 'string' },
    ce_subject: { type: 'string', description: 'The stream' },
    ce_time: { type: 'string', format: 'date-time' },
    ce_partitionkey: { type: 'string', description: 'The stream: order holds within it' },
    ce_correlationid: { type: 'string' },
    ce_causationid: { type: 'string' },
    ce_traceparent: { type: 'string' },
    ce_actor: { type: 'string' },
    ce_tenant: { type: 'string' },
  },
};

const commandHeaders: Json = {
  type: 'object',
  description:
    'CloudEvents attributes of a command, as `ce_` headers in Kafka binary mode; the key of the record keeps commands of one key in order',
  required: [...prefixed(['type', 'replyto']), ...prefixed(jsonSchema(CommandAttributes)['required'] as string[])],
  properties: {
    ce_type: { type: 'string' },
    ce_replyto: jsonSchema(ReplyTopic),
    ...Object.fromEntries(
      Object.entries(jsonSchema(CommandAttributes)['properties'] as Json).map(([name, schema]) => [`ce_${name}`, schema]),
    ),
  },
};

const eventsChannel = (context: Context): Json => ({
  address: eventsTopic(context),
  title: `Events of ${context}`,
  description: 'Domain events, kept for ever.',
  messages: refs(Object.values(eventsByContext[context]).map((c) => c.type)),
});
const deadChannel = (context: Context): Json => ({
  address: deadTopic(context),
  title: `Parked events of ${context}`,
  description: 'Events that could not be handled, each with its reason; later events of the same key wait behind it until a redrive.',
  messages: refs(['parked']),
});
const tasksChannel = (group: (typeof taskGroups)[number]): Json => ({
  address: tasksTopic(group),
  title: `Work for ${group}`,
  description:
    'Tasks for the executors of a group. Done at least once; idempotent by workflow, task, action and attempt.' +
    (group === 'agent-gateway'
      ? ' Offers to bid for as well, and attempts that failed and wishes to cancel, so that their delivery ends.'
      : ''),
  messages: refs([
    workflowEvents.taskDispatched.type,
    ...(group === 'agent-gateway'
      ? [workflowEvents.taskOffered.type, workflowEvents.taskFailed.type, workflowEvents.cancelRequested.type]
      : []),
  ]),
});
const progressChannel: Json = {
  address: progressTopic,
  title: 'Progress of moves',
  description: 'Telemetry, sampled, kept for a short time; may be lost.',
  messages: refs(['progress']),
};
const commandsChannel: Json = {
  address: commandsTopic,
  title: 'Commands',
  description:
    'What a service is told to do, by whoever has a token; forgotten after an hour. Done once per id, and answered once at least. ' +
    'What has no reply topic, or one that is not there, is passed over.',
  messages: refs([...commandContracts.keys()]),
};
const repliesChannel: Json = {
  address: 'chrysalis.replies.{name}',
  title: 'Answers to commands',
  description: 'Made, read and deleted by whoever sends the commands. An answer may come twice: `ce_causationid` is the id of its command.',
  parameters: { name: { description: 'Of the client’s choice: lower case letters, digits and hyphens' } },
  messages: refs([commandAnsweredType('provisioning')]),
};
const agentsChannel: Json = {
  address: '/v1/agents',
  title: 'Host agents',
  description: 'JSON text frames over a WebSocket between a host agent and the gateway; see agent-protocol.md.',
  messages: refs(['fromHostAgent', 'toHostAgent']),
};

function prefixed(names: readonly string[]): string[] {
  return names.map((name) => `ce_${name}`);
}
const inChannel = (channel: string, message: string): Json => ({ $ref: `#/channels/${channel}/messages/${message}` });
const operation = (action: 'send' | 'receive', channel: string, summary: string): Json => ({
  action,
  summary,
  channel: { $ref: `#/channels/${channel}` },
});
const camel = (text: string): string => text.replace(/-([a-z])/g, (_, c: string) => c.toUpperCase());

const componentMessages = (): Json => ({
  ...Object.fromEntries(
    Object.values(eventsByContext)
      .flatMap((r) => Object.values(r))
      .map((c) => [c.type, eventMessage(c)]),
  ),
  ...Object.fromEntries([...commandContracts.values()].map((c) => [c.type, commandMessage(c)])),
  [commandAnsweredType('provisioning')]: {
    ...plainMessage(commandAnsweredType('provisioning'), 'What became of a command: what HTTP would answer', CommandAnswer),
    headers: { $ref: '#/components/schemas/CloudEvent' },
  },
  parked: {
    name: 'parked',
    title: 'A parked event',
    summary: 'The event as it came, and why it was put aside',
    headers: { $ref: '#/components/schemas/CloudEvent' },
    payload: { type: 'object', description: "The data of the parked event's own type" },
  },
  progress: plainMessage('progress', 'A sample of a running move', progressFrame),
  fromHostAgent: plainMessage('fromHostAgent', 'A frame from a host agent', FromHostAgent),
  toHostAgent: plainMessage('toHostAgent', 'A frame to a host agent', ToHostAgent),
});
const eventMessage = ({ type, summary, schema }: EventContract): Json => ({
  name: type,
  title: type.replace(/^chrysalis\.[a-z-]+\.|\.v\d+$/g, '').replaceAll('.', ' '),
  summary,
  contentType: 'application/json',
  headers: { $ref: '#/components/schemas/CloudEvent' },
  payload: jsonSchema(schema),
});
const commandMessage = ({ type, summary, params, body, answer }: CommandContract): Json => ({
  name: type,
  title: type.replace(/^chrysalis\.[a-z-]+\.|\.v\d+$/g, '').replaceAll('.', ' '),
  summary,
  contentType: 'application/json',
  headers: { $ref: '#/components/schemas/Command' },
  payload: jsonSchema(CommandData.extend({ body, params: z.strictObject(Object.fromEntries(params.map((name) => [name, z.string()]))) })),
  'x-answer': jsonSchema(answer),
});
const plainMessage = (name: string, summary: string, schema: z.ZodType): Json => ({
  name,
  title: name,
  summary,
  payload: jsonSchema(schema),
});
function jsonSchema(schema: z.ZodType): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { target: 'draft-7', io: 'input', unrepresentable: 'any' });
  return rest;
}
const progressFrame: z.ZodType = FromHostAgent.options.find((o) => o.shape.type.value === 'progress')!;
