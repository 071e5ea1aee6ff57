import type { WorkflowRequest } from '@chrysalis/contracts';
import type { ServiceContext } from '@chrysalis/service-kit';
import { hedgedKinds, type Measured } from '@chrysalis/workflow-core';
import { countMore, makeCheckpoint, measuredOf } from './sql.ts';

const PAUSE_MS = 1_000;
/** Events in one statement. So many a second at most: what comes faster is counted later, and takes nothing from those who work. */
const BATCH = 5_000;
/** What is usual changes slowly. */
const KEPT_MS = 5_000;

/** How long tasks take, from the service's own log. Any number of instances count; each event counts once. */
export class Durations {
  readonly #usual = new Map<string, { readonly ms: number | undefined; readonly at: number }>();
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(private readonly service: Pick<ServiceContext, 'pool' | 'schema' | 'log'>) {}

  async start(): Promise<void> {
    await this.service.pool.query(makeCheckpoint(this.service.schema));
    this.#later();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#round;
  }

  /** Counts what is next; answers how many events that were. */
  async count(batch = BATCH): Promise<number> {
    const { pool, schema } = this.service;
    const { rows } = await pool.query<{ read: number }>({ ...countMore(schema), values: [batch] });
    return rows[0]!.read;
  }

  of(template: string, kinds: readonly string[]): Promise<Measured> {
    return measuredOf(this.service.pool, this.service.schema, template, kinds);
  }

  /** A request with what the kinds usually take (p95) that its hedges ask for; as it was where there are none. */
  async withUsual(request: WorkflowRequest): Promise<WorkflowRequest> {
    if (request.usualMs) return request;
    const kinds = hedgedKinds(request.definition.tasks);
    if (kinds.length === 0) return request;
    await this.#learn(kinds.filter((k) => (this.#usual.get(k)?.at ?? 0) < Date.now() - KEPT_MS));
    const usualMs = Object.fromEntries(kinds.flatMap((k) => (this.#usual.get(k)?.ms === undefined ? [] : [[k, this.#usual.get(k)!.ms!]])));
    return Object.keys(usualMs).length > 0 ? { ...request, usualMs } : request;
  }

  async #learn(kinds: readonly string[]): Promise<void> {
    if (kinds.length === 0) return;
    const { kinds: found } = await this.of('', kinds);
    if (this.#usual.size > 10_000) this.#usual.clear();
    for (const kind of kinds) this.#usual.set(kind, { ms: found.get(kind)?.p95, at: Date.now() });
  }

  #later(): void {
    if (!this.#stopped) this.#timer = setTimeout(() => void (this.#round = this.#again()), PAUSE_MS).unref();
  }

  async #again(): Promise<void> {
    await this.count().catch((err: unknown) => this.service.log.warn({ err }, 'durations could not be counted; they will be'));
    this.#later();
  }
}
