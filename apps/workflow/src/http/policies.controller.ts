import { Controller, Delete, Get, HttpCode, Inject, Param, Post, Query, Req } from '@nestjs/common';
import { Name, PolicySpec, Timestamp, views } from '@chrysalis/contracts';
import {
  Allow,
  allows,
  Answer,
  type ApiRequest,
  type CommandContext,
  Commands,
  Doc,
  dryRunQuery,
  isOfFleet,
  parse,
  parseBody,
  ProblemError,
  reachOf,
  SERVICE,
  shortPageQuery,
  type ServiceContext,
} from '@chrysalis/service-kit';
import { isKnown, type KnownPolicy, type Policy } from '@chrysalis/workflow-core';
import { z } from 'zod';
import { decidePolicy, startable } from '../policies/decide.ts';
import { latestFirings, policiesAfter, policyOf, type PolicyRow } from '../policies/sql.ts';
import { tryPolicy, type Tried } from '../policies/try.ts';
import { settled } from '../policies/view.ts';

const Page = z.object({ limit: z.coerce.number().int().min(1).max(500).default(100), cursor: z.string().max(63).default('') });
const Why = z.strictObject({ reason: z.string().min(1).max(255).default('asked to') });
/** Of an event what the test needs; the rest is filled in. */
const TryBody = z.union([
  z.strictObject({
    event: z.object({
      id: z.string().max(127).optional(),
      type: z.string().max(128),
      subject: z.string().max(255).optional(),
      time: Timestamp.optional(),
      tenant: z.string().max(64).optional(),
      actor: z.string().max(255).optional(),
      data: z.unknown(),
    }),
  }),
  z.strictObject({ at: Timestamp }),
]);
const SHOWN = 20;

@Controller()
export class PoliciesController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Commands) private readonly commands: Commands,
  ) {}

  @Post('/v1/workflow-policies')
  @HttpCode(201)
  @Allow('operator')
  @Doc({
    summary:
      'Write a policy down: a schedule or an event that starts a workflow. It fires only once it is enabled; the same again is the same',
    body: PolicySpec,
    query: { ...dryRunQuery, enable: z.enum(['true', 'false']).describe('true: and let it fire, both or neither') },
    answers: {
      201: views.PolicyChanged,
      403: '`workflow-policy.foreign_tenant`',
      409: '`workflow-policy.name_taken`',
      422: '`workflow-policy.invalid`, with every fault and its place',
    },
  })
  establish(@Req() request: ApiRequest, @Query('enable') enable?: string): Promise<Answer> {
    return this.#changed(
      this.commands.run(request, PolicySpec, async (spec, ctx) => {
        const { name } = spec;
        const tenant = allowedTenant(spec, ctx);
        const template = await startable(ctx.tx, this.service.schema, spec.start.template);
        let decided = await decidePolicy(name, { type: 'establish', spec, tenant, template, at: ctx.now }, ctx);
        if (decided.ok && enable === 'true')
          decided = await decidePolicy(name, { type: 'enable', name, reason: 'written down to fire', at: ctx.now }, ctx);
        if (!decided.ok) throw ProblemError.of(decided.rejection);
        const { status, revision } = decided.state;
        return { status: 201, body: { name, revision, status }, headers: { location: `/v1/workflow-policies/${name}` } };
      }),
    );
  }

  @Get('/v1/workflow-policies')
  @Allow('viewer')
  @Doc({
    summary: 'The policies by name',
    query: shortPageQuery,
    answers: { 200: views.pageOf(views.Policy) },
  })
  async list(@Query() query: unknown, @Req() request: ApiRequest): Promise<object> {
    const { limit, cursor } = parse(Page, query);
    const rows = await policiesAfter(this.service.pool, this.service.schema, { tenant: reachOf(request.caller), after: cursor, limit });
    return { items: rows.flatMap((row) => viewOf(row) ?? []), ...(rows.length === limit ? { next: rows.at(-1)!.name } : {}) };
  }

  @Get('/v1/workflow-policies/:name')
  @Allow('viewer')
  @Doc({
    summary: 'A policy, with what it started last and what last kept it from starting',
    answers: { 200: views.Policy.describe('`ETag` is the version of its stream'), 404: '`workflow-policy.unknown`' },
  })
  async one(@Param('name') name: string, @Req() request: ApiRequest): Promise<Answer> {
    const row = await this.#row(name, request);
    const firings = await latestFirings(this.service.pool, this.service.schema, name, SHOWN);
    return new Answer(200, { ...viewOf(row), firings }, { etag: `"${row.version}"` });
  }

  @Post('/v1/workflow-policies/:name/enable')
  @HttpCode(200)
  @Allow('operator')
  @Doc({
    summary: 'Let it fire, from the answer on',
    body: Why,
    query: dryRunQuery,
    answers: { 200: views.PolicyChanged, 404: '`workflow-policy.unknown`' },
  })
  enable(@Param('name') name: string, @Req() request: ApiRequest): Promise<Answer> {
    return this.#switch('enable', name, request);
  }

  @Post('/v1/workflow-policies/:name/disable')
  @HttpCode(200)
  @Allow('operator')
  @Doc({
    summary: 'Let it fire no more, from the answer on; what it started goes on, what waited for its limits is let go',
    body: Why,
    query: dryRunQuery,
    answers: { 200: views.PolicyChanged, 404: '`workflow-policy.unknown`' },
  })
  disable(@Param('name') name: string, @Req() request: ApiRequest): Promise<Answer> {
    return this.#switch('disable', name, request);
  }

  @Delete('/v1/workflow-policies/:name')
  @HttpCode(200)
  @Allow('operator')
  @Doc({
    summary: 'Remove it; its history stays',
    query: dryRunQuery,
    answers: { 200: views.PolicyChanged, 404: '`workflow-policy.unknown`' },
  })
  remove(@Param('name') name: string, @Req() request: ApiRequest): Promise<Answer> {
    return this.#switch('remove', name, request);
  }

  @Post('/v1/workflow-policies/:name/test')
  @HttpCode(200)
  @Allow('viewer')
  @Doc({
    summary: 'Would it fire for this event, or at this moment, and with what? Nothing is started',
    body: TryBody,
    noDryRun: 'Nothing is kept of it anyhow: it is a trial by itself',
    answers: { 200: views.PolicyTried, 404: '`workflow-policy.unknown`' },
  })
  async test(@Param('name') name: string, @Req() request: ApiRequest): Promise<object> {
    const given = parseBody(TryBody, request.body ?? {}) as Tried;
    const { state } = await this.#row(name, request);
    const template = await startable(this.service.pool, this.service.schema, (state as KnownPolicy).spec.start.template);
    return tryPolicy(state as KnownPolicy, given, template, { id: this.service.newId(), now: this.service.clock() });
  }

  async #row(name: string, request: ApiRequest): Promise<PolicyRow> {
    const row = Name.safeParse(name).success
      ? await policyOf(this.service.pool, this.service.schema, name, reachOf(request.caller))
      : undefined;
    if (!row) throw ProblemError.of({ code: 'workflow-policy.unknown', name: name.slice(0, 63) });
    return row;
  }

  async #switch(type: 'enable' | 'disable' | 'remove', name: string, request: ApiRequest): Promise<Answer> {
    await this.#row(name, request);
    return this.#changed(
      this.commands.run(request, Why, async ({ reason }, ctx) => {
        const decided = await decidePolicy(name, { type, name, reason, at: ctx.now }, ctx);
        if (!decided.ok) throw ProblemError.of(decided.rejection);
        return { status: 200, body: { name, status: decided.state.status, revision: decided.state.revision } };
      }),
    );
  }

  /** Answered when no instance can go by what was before any more. */
  async #changed(answer: Promise<Answer>): Promise<Answer> {
    const given = await answer;
    await settled();
    return given;
  }
}

/** Another tenant's policy, or the fleet's own, is the fleet's administrators' to write: what it starts acts in that name. */
const allowedTenant = ({ tenant }: PolicySpec, { caller }: CommandContext): string => {
  const wanted = tenant ?? caller.tenant;
  if (wanted === caller.tenant || (isOfFleet(caller) && allows(caller, 'admin'))) return wanted;
  throw ProblemError.of({ code: 'workflow-policy.foreign_tenant', tenant: wanted });
};

const viewOf = ({ name, tenant, state, nextAt, lastStartedAt, failures, lastFailure }: PolicyRow): object | undefined => {
  if (!isKnown(state)) return undefined;
  const { status, revision, spec } = state;
  return {
    name,
    tenant,
    status,
    revision,
    summary: spec.summary,
    spec,
    ...nextOf(state, nextAt),
    ...(lastStartedAt ? { lastStartedAt } : {}),
    failures,
    ...(lastFailure ? { lastFailure } : {}),
  };
};
const nextOf = (state: Policy, nextAt: Date | null): { next?: string } =>
  nextAt && state.status === 'enabled' ? { next: nextAt.toISOString() } : {};
