import { Controller, Get, Headers, Inject, Query as QueryParams, Req, Res } from '@nestjs/common';
import { Allow, Doc, eventStream, reaches, SERVICE, type ApiRequest, type ServiceContext } from '@chrysalis/service-kit';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { ProgressHub } from '../progress.ts';
import { lastPosition, later, positionOf, readFeed } from '../reads/feed.ts';
import { ReadModels, type Query } from '../reads/read-models.ts';
import { Wake } from '../reads/wake.ts';
import { streamed } from '../sse.ts';

/** Events in one look. */
const LIMIT = 500;
/** So often what nobody asked for is passed over for good: else a reader of few events would look through all others at each change. */
const PASS_MS = 250;

class Every {
  #last = -Infinity;
  constructor(private readonly ms: number) {}

  isDue(): boolean {
    const now = performance.now();
    if (now - this.#last < this.ms) return false;
    this.#last = now;
    return true;
  }
}

@Controller()
export class StreamsController {
  constructor(
    @Inject(ReadModels) private readonly reads: ReadModels,
    @Inject(Wake) private readonly wake: Wake,
    @Inject(ProgressHub) private readonly progressHub: ProgressHub,
    @Inject(SERVICE) private readonly service: ServiceContext,
  ) {}

  @Get('/v1/events')
  @Allow('viewer')
  @Doc({
    summary: 'Every event, as Server-Sent Events, in the order they arrived',
    query: {
      type: 'Only types that begin so, e.g. `chrysalis.provisioning.`',
      stream: 'Only of this stream, e.g. `host-h1`',
      from: z
        .string()
        .regex(/^(start|\d{1,18})$/, '`start`, or a position')
        .describe('`start` for everything there is, or a position; without it and `Last-Event-ID`, from now on'),
    },
    answers: { 200: eventStream('Resumes after `Last-Event-ID`; begins with `position` where none was given') },
  })
  async events(
    @QueryParams() query: Query,
    @Req() request: ApiRequest,
    @Res() reply: FastifyReply,
    @Headers('last-event-id') last?: string,
  ): Promise<void> {
    const { caller } = request;
    const filter = {
      caller,
      ...(query['type'] ? { type: query['type'] } : {}),
      ...(query['stream'] ? { streams: [query['stream']] } : {}),
    };
    const asked = positionOf(last) ?? (query['from'] === 'start' ? '0' : positionOf(query['from']));
    const passing = new Every(PASS_MS);
    let after = asked ?? (await lastPosition(this.reads));
    await streamed(reply, request, this.service.log, async (stream) => {
      // Who said not where to begin is told: a connection that is cut before the first event is resumed from there.
      if (asked === undefined) await stream.send('position', { position: after }, after);
      while (!stream.signal.aborted && !this.wake.stopped) {
        const pass = passing.isDue() ? await lastPosition(this.reads) : after;
        const entries = await readFeed(this.reads, { ...filter, after, limit: LIMIT });
        for (const e of entries) await stream.send(e.type, e, e.position);
        after = later(entries.at(-1)?.position ?? after, entries.length < LIMIT ? pass : after);
        if (entries.length === 0) await this.wake.changed(1_000, stream.signal);
      }
    });
  }

  @Get('/v1/progress')
  @Allow('viewer')
  @Doc({
    summary: 'Samples of running moves (phase, bytes, dirty pages), as Server-Sent Events; telemetry, may have gaps',
    query: { vm: 'Only of this VM', move: 'Only of this move' },
    answers: { 200: eventStream('`progress`: a sample') },
  })
  progress(@QueryParams() query: Query, @Req() request: ApiRequest, @Res() reply: FastifyReply): Promise<void> {
    const { caller } = request;
    return streamed(reply, request, this.service.log, async (stream) => {
      const stop = this.progressHub.listen((p, tenant) => {
        if (!reaches(caller, tenant)) return;
        if ((query['vm'] && p.vmId !== query['vm']) || (query['move'] && p.moveId !== query['move'])) return;
        // A sample is worth nothing later: for a viewer that does not keep up there are fewer, and never a heap of them here.
        if (stream.isBehind) this.progressHub.dropped.inc();
        else void stream.send('progress', p);
      });
      await Promise.race([stream.ended, this.wake.whenStopped()]).finally(stop);
    });
  }
}
