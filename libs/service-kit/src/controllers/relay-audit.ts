import { Controller, Get, Inject, Post, Req } from '@nestjs/common';
import { views } from '@chrysalis/contracts';
import { origin, type StoredEvent } from '@chrysalis/event-store';
import { auditRelay, type Audit, type Message } from '@chrysalis/messaging';
import type pg from 'pg';
import { z } from 'zod';
import { Allow, type ApiRequest } from '../access/auth.ts';
import { Answer } from '../http/commands.ts';
import { SERVICE, type ServiceContext } from '../context.ts';
import { Doc } from '../http/documentation.ts';
import { parseBody, ProblemError } from '../http/problems.ts';

export const RELAY_ROUTE = Symbol('chrysalis.relay-route');
export type RelayRoute = (event: StoredEvent) => readonly Message[];

/** `interrupted`: the process that made it ended before it did. */
type State = 'none' | 'running' | 'ended' | 'failed' | 'interrupted';
export type RelayAudit = {
  readonly context: string;
  readonly state: State;
  readonly fill?: boolean;
  readonly startedAt?: string;
  readonly endedAt?: string;
  readonly reason?: string;
  readonly result?: Audit;
};

const row = 'relay.audit';
const body = z.object({ fill: z.boolean().optional().describe('Publish again what is missing; only compared unless told') });

/**
 * Whether the bus has what the relay says it has published; of each service, one at a time over its instances. It may take minutes, so it
 * runs beside the request, and its state is a row that each instance can show.
 */
@Controller()
export class RelayAuditController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(RELAY_ROUTE) private readonly route: RelayRoute,
  ) {}

  @Get('/v1/relay-audit')
  @Allow('admin')
  @Doc({ summary: 'The last comparison of the log with the bus', answers: { 200: views.RelayAudit } })
  async last(): Promise<RelayAudit> {
    const saved = (await this.service.store.loadCheckpoint(row))?.detail as RelayAudit | undefined;
    if (!saved) return { context: this.service.context, state: 'none' };
    return saved.state === 'running' && !(await this.#isHeld()) ? { ...saved, state: 'interrupted' } : saved;
  }

  @Post('/v1/relay-audit')
  @Allow('admin')
  @Doc({
    summary: 'Compare the log with the bus, and publish again what the bus lacks if told to',
    body,
    noDryRun: 'Without `fill` it only compares, and changes nothing',
    answers: { 202: views.RelayAudit.describe('It runs; asked again while it does, the one that runs') },
  })
  async begin(@Req() request: ApiRequest): Promise<Answer> {
    const { fill = false } = parseBody(body, request.body ?? {});
    const client = await this.service.pool.connect();
    client.on('error', ignore); // the next query says so
    const { rows } = await client.query<{ free: boolean }>(`select pg_try_advisory_lock(${this.#lock}) as free`);
    if (!rows[0]!.free) {
      release(client);
      return new Answer(202, await this.#running(fill));
    }
    const audit: RelayAudit = { context: this.service.context, state: 'running', fill, startedAt: this.service.clock() };
    await this.#save(audit);
    void this.#run(client, audit);
    return new Answer(202, audit);
  }

  /** Another one has the lock; what fills is not what was asked for by who only compares, nor the other way round. */
  async #running(fill: boolean): Promise<RelayAudit> {
    const audit = await this.last();
    if (audit.state === 'running' && audit.fill === fill) return audit;
    throw ProblemError.of({ code: 'relay-audit.running', fill: audit.fill ?? false });
  }

  async #run(client: pg.PoolClient, audit: RelayAudit): Promise<void> {
    const { store, bus, log, clock } = this.service;
    try {
      const result = await auditRelay({ store, bus, route: this.route, fill: audit.fill === true, client });
      if (result.missing > 0) log.error({ missing: result.missing, filled: result.filled }, 'the bus lacked events of the log');
      await this.#save({ ...audit, state: 'ended', endedAt: clock(), result });
    } catch (err) {
      log.warn({ err }, 'the log could not be compared with the bus');
      await this.#save({ ...audit, state: 'failed', endedAt: clock(), reason: (err as Error).message.slice(0, 500) }).catch(ignore);
    } finally {
      await client.query(`select pg_advisory_unlock(${this.#lock})`).catch(ignore);
      release(client);
    }
  }

  get #lock(): string {
    return `hashtextextended('chrysalis relay audit ${this.service.schema}', 0)`;
  }

  async #isHeld(): Promise<boolean> {
    const { rows } = await this.service.pool.query<{ held: boolean }>(
      `select exists (select from pg_locks where locktype = 'advisory' and granted and objsubid = 1
         and database = (select oid from pg_database where datname = current_database())
         and (classid::bigint << 32 | objid::bigint) = ${this.#lock}) as held`,
    );
    return rows[0]!.held;
  }

  async #save(audit: RelayAudit): Promise<void> {
    await this.service.store.saveCheckpoint(row, origin, { ...audit });
  }
}

const ignore = (): void => undefined;
const release = (client: pg.PoolClient): void => {
  client.off('error', ignore);
  client.release();
};
