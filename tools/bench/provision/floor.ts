// The floor: the same events appended to five logs and relayed to one bus, and nothing else. Nobody decides, projects or answers.
import { readFileSync } from 'node:fs';
import { EventStore, migrate } from '@chrysalis/event-store';
import { createBus, startRelay, toCloudEvent, type EventBus } from '@chrysalis/messaging';
import pg from 'pg';
import { v7 as uuid } from 'uuid';
import { startPostgres } from '../../../infra/postgres/launcher.ts';
import { serveAsChild, type Served } from '../workflow/child.ts';
import type { Story } from './shape.ts';
import { contexts } from './stories.ts';

/** `times`: each story so often, with ids and streams of its own. */
export type FloorAsk = { readonly inFlight: number; readonly times: number };
export type Floor = { readonly perSecond: number; readonly ms: readonly number[] };

/** A host's and a pool's, which VMs have in common; the others are of one VM or workflow. */
const isShared = (stream: string): boolean => !/^(workflow|task|observed|vm)-/.test(stream);

class Logs {
  readonly #stores = new Map<string, EventStore>();
  readonly #arrivals = new Map<string, () => void>();
  readonly #closing: (() => Promise<unknown>)[] = [];

  async open(databaseUrl: string): Promise<void> {
    const pool = new pg.Pool({ connectionString: databaseUrl, max: 4 * contexts.length });
    const bus = createBus({ kind: 'embedded', pool, connectionString: databaseUrl });
    const topics = contexts.map((name) => `floor.${name}`);
    await bus.ensureTopics(topics.map((name) => ({ name, partitions: 6 })));
    const subscription = await bus.subscribe({
      ...{ group: 'floor', topics, maxBatch: 500 },
      handle: async (events) => events.forEach((e) => this.#arrivals.get(e.id)?.()),
    });
    for (const context of contexts) await this.#openLog(context, databaseUrl, pool, bus);
    this.#closing.push(() => subscription.stop(), () => bus.close(), () => pool.end()); // prettier-ignore
  }

  async #openLog(context: string, databaseUrl: string, pool: pg.Pool, bus: EventBus): Promise<void> {
    const schema = `floor_${context.replaceAll('-', '_')}`;
    await migrate(databaseUrl, schema);
    const store = new EventStore(pool, schema);
    const route = (event: Parameters<typeof toCloudEvent>[0]) => [{ topic: `floor.${context}`, event: toCloudEvent(event, { context }) }];
    const relay = await startRelay({ store, schema, bus, mode: 'auto', route });
    this.#stores.set(context, store);
    this.#closing.push(() => relay.stop());
  }

  /** Commit after commit, each once the one before has arrived: as what causes the next is heard of by the bus. */
  async tell(story: Story, suffix: string): Promise<number> {
    const began = performance.now();
    for (const { context, appends } of story) {
      const made = appends.map(({ stream, events }) => ({
        stream: isShared(stream) ? stream : `${stream}${suffix}`,
        expected: 'any' as const,
        events: events.map((e) => ({ ...(e as { type: string; data: unknown; meta: never }), id: uuid() })),
      }));
      const ids = made.flatMap((append) => append.events.map((e) => e.id));
      const arrived = Promise.all(ids.map((id) => new Promise<void>((resolve) => this.#arrivals.set(id, resolve))));
      await this.#stores.get(context)!.append(made);
      await arrived;
      for (const id of ids) this.#arrivals.delete(id);
    }
    return performance.now() - began;
  }

  async close(): Promise<void> {
    for (const close of this.#closing) await close();
  }
}

const open = async ({ storiesFile }: Record<string, string>): Promise<Served> => {
  const stories = JSON.parse(readFileSync(storiesFile!, 'utf8')) as Story[];
  const postgres = await startPostgres();
  const logs = new Logs();
  await logs.open(postgres.localString);
  const answer = async ({ inFlight, times }: FloorAsk): Promise<Floor> => {
    const told = Array.from({ length: times }, () => uuid()).flatMap((suffix) => stories.map((story) => ({ story, suffix })));
    const ms: number[] = [];
    const began = performance.now();
    const teller = async (): Promise<void> => {
      for (let one = told.pop(); one; one = told.pop()) ms.push(await logs.tell(one.story, one.suffix));
    };
    await Promise.all(Array.from({ length: inFlight }, teller));
    return { perSecond: (ms.length * 1_000) / (performance.now() - began), ms };
  };
  const close = async (): Promise<void> => {
    await logs.close();
    await postgres.stop();
  };
  return { ready: postgres.version, answer, close };
};

await serveAsChild(open);
