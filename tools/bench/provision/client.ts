import { Agent, request, type IncomingMessage } from 'node:http';
import { createParser } from 'eventsource-parser';
import { v7 as uuid } from 'uuid';

/** What a VM has come to, and who waits for that. */
type Waiting = { readonly done: (at: number) => void; readonly failed: (error: Error) => void; readonly late: NodeJS.Timeout };
export type Made = { readonly vmId: string; readonly operation: string };

/** Longer than any backlog that a run can build up; a VM that takes longer counts as lost, and the run fails. */
const LATE_MS = 120_000;

/**
 * A client of the admin API as others are: requests with an Idempotency-Key each, over connections that are kept, and one stream of
 * Server-Sent Events that says what has become of each VM, once the read models show it.
 */
export class ApiClient {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 256 });
  readonly #waiting = new Map<string, Waiting>();
  readonly #early = new Map<string, number>();
  readonly #streams: IncomingMessage[] = [];

  constructor(
    private readonly server: string,
    private readonly token: string,
  ) {}

  /** How many are waited for now. */
  get pending(): number {
    return this.#waiting.size;
  }

  /** Follows events of this type, each of which is about the VM that its data names. */
  follow(type: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const parser = createParser({
        onEvent: ({ event, data }) => {
          if (event === 'position') return resolve();
          this.#heard(`${event} ${(JSON.parse(data) as { data: { vmId: string } }).data.vmId}`);
        },
      });
      const asked = request(`${this.server}/v1/events?type=${type}`, { headers: this.#headers() }, (response) => {
        if (response.statusCode !== 200) return reject(new Error(`the stream of events was answered with ${response.statusCode}`));
        this.#streams.push(response);
        response.setEncoding('utf8').on('data', (text: string) => parser.feed(text));
        response.on('error', () => undefined);
      });
      asked.on('error', reject).end();
    });
  }

  #headers(): Record<string, string> {
    return { authorization: `Bearer ${this.token}` };
  }

  #heard(key: string): void {
    const waiting = this.#waiting.get(key);
    if (!waiting) return void this.#early.set(key, performance.now()); // the answer to the command is still on its way
    this.#waiting.delete(key);
    clearTimeout(waiting.late);
    waiting.done(performance.now());
  }

  /** When it was heard. */
  heard(type: string, vmId: string): Promise<number> {
    const key = `${type} ${vmId}`;
    const early = this.#early.get(key);
    if (early !== undefined) {
      this.#early.delete(key);
      return Promise.resolve(early);
    }
    return new Promise((done, failed) => {
      const late = setTimeout(() => {
        this.#waiting.delete(key);
        failed(new Error(`${key} did not come within ${LATE_MS / 1000} s`));
      }, LATE_MS);
      this.#waiting.set(key, { done, failed, late });
    });
  }

  async send<A>(method: 'POST' | 'DELETE' | 'GET', path: string, body?: unknown): Promise<A> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = {
      ...this.#headers(),
      ...(method === 'GET' ? {} : { 'idempotency-key': uuid() }),
      ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
    };
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request(`${this.server}${path}`, { method, headers, agent: this.#agent }, resolve).on('error', reject).end(text);
    });
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    const answer = Buffer.concat(chunks).toString();
    if (response.statusCode! >= 300) throw new Error(`${method} ${path}: ${response.statusCode} ${answer.slice(0, 500)}`);
    return JSON.parse(answer) as A;
  }

  close(): void {
    for (const stream of this.#streams) stream.destroy();
    for (const { late } of this.#waiting.values()) clearTimeout(late);
    this.#agent.destroy();
  }
}
