import { commandsTopic, type CommandAnswer } from '@chrysalis/contracts';
import type { CloudEvent } from '@chrysalis/messaging';
import { until } from '@chrysalis/testing';
import { v7 as uuidv7 } from 'uuid';
import type { Harness } from './harness.ts';

/** What is not the usual of a message; `undefined` leaves an attribute out. */
type Unusual = Partial<Record<keyof CloudEvent, unknown>>;

/** Sends commands over the bus, as a client does, and takes the answers from a topic of its own. */
export class Commander {
  private constructor(
    private readonly h: Harness,
    private readonly replyto: string,
    private readonly answers: CloudEvent[],
  ) {}

  static async of(h: Harness, name = 'olga'): Promise<Commander> {
    const replyto = `chrysalis.replies.${name}`;
    const answers: CloudEvent[] = [];
    await h.bus.ensureTopics([{ name: replyto, partitions: 1 }]);
    await h.bus.subscribe({ group: replyto, topics: [replyto], handle: async (events) => void answers.push(...events) });
    return new Commander(h, replyto, answers);
  }

  /** The id under which it went. */
  async send(type: string, data: unknown, unusual: Unusual = {}): Promise<string> {
    const id = uuidv7();
    const event = {
      specversion: '1.0',
      id,
      source: '/olga',
      type,
      expirytime: new Date(Date.now() + 60_000).toISOString(),
      replyto: this.replyto,
      partitionkey: id,
      datacontenttype: 'application/json',
      data,
      ...unusual,
    };
    await this.h.bus.publish([{ topic: commandsTopic, event: event as unknown as CloudEvent }]);
    return String(event.id);
  }

  /** The next answer to this command that was not taken yet. */
  async answerTo(id: string): Promise<CloudEvent & { data: CommandAnswer }> {
    const at = await until(() => {
      const found = this.answers.findIndex((a) => a.causationid === id);
      return Promise.resolve(found >= 0 && { found });
    });
    return this.answers.splice(at.found, 1)[0] as CloudEvent & { data: CommandAnswer };
  }

  async call(type: string, data: unknown, unusual: Unusual = {}): Promise<CommandAnswer> {
    return (await this.answerTo(await this.send(type, data, unusual))).data;
  }
}
