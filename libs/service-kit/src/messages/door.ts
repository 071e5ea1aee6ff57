import { setTimeout as sleep } from 'node:timers/promises';
import type { INestApplication } from '@nestjs/common';
import {
  commandAnsweredType,
  commandContracts,
  commandsTopic,
  commandsTopicConfig,
  ReplyTopic,
  type CommandAnswer,
  type Context,
} from '@chrysalis/contracts';
import { createBus, type CloudEvent, type EventBus, type Health } from '@chrysalis/messaging';
import { Counter } from 'prom-client';
import type { ServiceContext } from '../context.ts';
import { problemDocument, problemFor, problemHeaders } from '../http/problems.ts';
import { failpoint } from '../runtime/failpoint.ts';
import { sweep } from '../runtime/sweep.ts';
import type { Commanded } from './as-message.ts';
import { invoker, type Invoke, type MessageRequest } from './invoke.ts';
import { requestOf } from './request.ts';

const TRIES = 3;
const NAME = 'chrysalis_commands_total';
/** What became of a message. Only an answered one may have had an effect, or one whose answer nobody took. */
type Outcome = 'answered' | 'no_reply_address' | 'no_reply_topic' | 'answer_not_taken';
type Replied = { readonly answer: CommandAnswer; readonly tenant: string };

/** Reads `chrysalis.commands`, and answers. See `CommandDoor`. */
export const startCommands = async (
  service: ServiceContext,
  app: INestApplication,
  commands: ReadonlyMap<string, Commanded>,
): Promise<{ stop(): Promise<void>; health(): Health }> => {
  const { bus, context, config } = service;
  await bus.ensureTopics([{ name: commandsTopic, partitions: 6, config: commandsTopicConfig }]);
  // What a client's topic does not take ends a connection to Kafka: not the one that this service's own events go over.
  const replies =
    config.bus.kind === 'kafka'
      ? createBus({ kind: 'kafka', brokers: config.bus.brokers, clientId: `${context}-${config.instance}-replies` })
      : bus;
  const door = new CommandDoor(service, replies, commands, new Map([...commands].map(([type, c]) => [type, invoker(app, c)])));
  const subscription = await bus.subscribe({
    group: `${context}.commands`,
    topics: [commandsTopic],
    maxBatch: 1,
    handle: async (events) => {
      for (const event of events) await door.take(event);
    },
  });
  const swept = sweep(service, 'commands', () => bus.forget(commandsTopic));
  return {
    stop: async () => {
      await Promise.all([subscription.stop(), swept()]);
      if (replies !== bus) await replies.close();
    },
    health: () => subscription.health(),
  };
};

/**
 * The second door of a service's commands. A message is answered once at least, and done once: under its id, which is the idempotency key,
 * by the very method that its route has. It rejects only where the bus does not answer, and then it is brought again: whatever a message is,
 * those behind it have their turn, and it is kept nowhere, as it carries a token.
 */
class CommandDoor {
  readonly #counter: Counter<'outcome'>;

  constructor(
    private readonly service: ServiceContext,
    private readonly replies: EventBus,
    private readonly commands: ReadonlyMap<string, Commanded>,
    private readonly invokes: ReadonlyMap<string, Invoke>,
  ) {
    this.#counter = new Counter({
      name: NAME,
      help: 'Commands that came as messages, by what became of them',
      labelNames: ['outcome'],
      registers: [service.metrics],
    });
  }

  async take(event: CloudEvent): Promise<void> {
    if (!this.commands.has(event.type) && commandContracts.has(event.type)) return; // another service's
    const to = ReplyTopic.safeParse(event.replyto);
    if (!to.success) return this.#became('no_reply_address');
    if (!(await this.replies.has(to.data))) return this.#became('no_reply_topic');
    const replied = await this.#answered(event);
    await failpoint('command:answered');
    await this.#reply(to.data, event, replied);
  }

  async #answered(event: CloudEvent): Promise<Replied> {
    let request: MessageRequest | undefined;
    try {
      const { tokenKey } = this.service.config;
      request = await requestOf(event, this.commands.get(event.type), tokenKey, Date.parse(this.service.clock()));
      const { status, headers, body } = await this.invokes.get(event.type)!(request);
      return { answer: { status, headers: { ...headers }, body }, tenant: request.caller.tenant };
    } catch (error) {
      const problem = problemFor(error);
      if (problem.status >= 500) this.service.log.error({ err: error, method: request?.method, url: request?.url }, 'command failed');
      const document = problemDocument(problem, request?.url) as NonNullable<CommandAnswer['problem']>;
      const answer = { status: problem.status, headers: problemHeaders(problem), problem: document };
      return { answer, tenant: request?.caller.tenant ?? '' };
    }
  }

  async #reply(topic: string, command: CloudEvent, replied: Replied): Promise<void> {
    const event = this.#replyTo(command, replied);
    for (let attempt = 1; attempt <= TRIES; attempt++) {
      try {
        await this.replies.publish([{ topic, event }]);
        return this.#became('answered');
      } catch {
        await sleep(attempt * 100);
        // It throws where the bus is away, and then the command comes again.
        if (!(await this.replies.has(topic))) return this.#became('no_reply_topic');
      }
    }
    this.#became('answer_not_taken'); // such as one larger than its topic allows: whoever asks again gets the kept one
  }

  #replyTo(command: CloudEvent, { answer, tenant }: Replied): CloudEvent {
    const { context, newId, clock } = this.service;
    const id = textOf(command.id);
    return {
      specversion: '1.0',
      id: newId(),
      source: `/chrysalis/${context}`,
      type: commandAnsweredType(context as Context),
      subject: id,
      time: clock(),
      partitionkey: id,
      datacontenttype: 'application/json',
      correlationid: textOf(command.correlationid) || id,
      causationid: id,
      actor: `service:${context}`,
      tenant,
      data: answer,
    };
  }

  #became(outcome: Outcome): void {
    this.#counter.inc({ outcome });
  }
}

/** Of an attribute, which may be anything until it was judged. */
const textOf = (attribute: unknown): string => (typeof attribute === 'string' ? attribute.slice(0, 255) : '');
