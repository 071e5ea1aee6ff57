import { Controller, Get, Inject } from '@nestjs/common';
import { views } from '@chrysalis/contracts';
import { z } from 'zod';
import { Allow } from '../access/auth.ts';
import { Answer } from '../http/commands.ts';
import { SERVICE, type ServiceContext } from '../context.ts';
import { Doc, Media } from '../http/documentation.ts';
import { ProblemError } from '../http/problems.ts';

/** What the parts say of themselves; `starting` until all of them run. */
export type Health = { ready: () => { ok: boolean; reason?: string }[] };
export const HEALTH = Symbol('chrysalis.health');
/** Made when it is asked for: of all services together that is a tenth of what a start computes. */
export const OPENAPI = Symbol('chrysalis.openapi');

/** What every service says of itself. */
@Controller()
export class HealthController {
  constructor(
    @Inject(HEALTH) private readonly health: Health,
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(OPENAPI) private readonly document: () => object,
  ) {}

  @Get('/health/live')
  @Allow('public')
  @Doc({ summary: 'The process answers', answers: { 200: views.Ok } })
  live(): object {
    return { ok: true };
  }

  @Get('/health/ready')
  @Allow('public')
  @Doc({ summary: 'Database, relay and consumers work', answers: { 200: views.Ok, 503: 'Not ready, with reasons' } })
  async ready(): Promise<object> {
    await this.service.pool.query('select 1');
    const bad = this.health.ready().filter((h) => !h.ok);
    if (bad.length > 0) throw ProblemError.of({ code: 'service.not_ready', message: bad.map((b) => b.reason ?? 'unknown').join('; ') });
    return { ok: true };
  }

  @Get('/metrics')
  @Allow('public')
  @Doc({ summary: 'Prometheus metrics', answers: { 200: new Media('text/plain', 'As Prometheus reads it') } })
  async metrics(): Promise<Answer> {
    return new Answer(200, await this.service.metrics.metrics(), { 'content-type': this.service.metrics.contentType });
  }

  @Get('/openapi.json')
  @Allow('public')
  @Doc({ summary: 'This description', answers: { 200: z.looseObject({ openapi: z.string() }).describe('OpenAPI 3.1') } })
  openapi(): object {
    return this.document();
  }
}
