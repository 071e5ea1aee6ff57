import { Controller, Get, Headers, Inject, Query as QueryParams, Req, Res } from '@nestjs/common';
import { Allow, Doc, type ApiRequest } from '@chrysalis/service-kit';
import type { FastifyReply } from 'fastify';
import { ProgressHub } from '../progress.ts';
import { lastPosition, positionOf, readFeed } from '../reads/feed.ts';
import { ReadModels, type Query } from '../reads/read-models.ts';
import { Wake } from '../reads/wake.ts';
import { SseStream } from '../sse.ts';

@Controller()
export class StreamsController {
  constructor(
    @Inject(ReadModels) private readonly reads: ReadModels,
    @Inject(Wake) private readonly wake: Wake,
    @Inject(ProgressHub) private readonly progressHub: ProgressHub,
  ) {}

  @Get('/v1/events')
  @Allow('viewer')
  @Doc({
    summary: 'Every event, as Server-Sent Events, in the order they arrived',
    query: {
      type: 'Only types that begin so, e.g. `chrysalis.provisioning.`',
      stream: 'Only of this stream, e.g. `host-h1`',
      from: '`start` for everything there is, or a position; without it and `Last-Event-ID`, from now on',
    },
    answers: { 200: 'text/event-stream; resumes after `Last-Event-ID`' },
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
    let after = asked ?? (await lastPosition(this.reads));
    const stream = new SseStream(reply);
    while (!stream.signal.aborted && !this.wake.stopped) {
      const entries = await readFeed(this.reads, { ...filter, after });
      for (const e of entries) await stream.send(e.type, e, e.position);
      after = entries.at(-1)?.position ?? after;
      if (entries.length === 0) await this.wake.changed(1_000, stream.signal);
    }
    stream.end();
  }

  @Get('/v1/progress')
  @Allow('viewer')
  @Doc({
    summary: 'Samples of running moves (phase, bytes, dirty pages), as Server-Sent Events; telemetry, may have gaps',
    query: { vm: 'Only of this VM', move: 'Only of this move' },
    answers: { 200: 'text/event-stream' },
  })
  progress(@QueryParams() query: Query, @Req() request: ApiRequest, @Res() reply: FastifyReply): void {
    const stream = new SseStream(reply);
    const { caller } = request;
    const stop = this.progressHub.listen((p, tenant) => {
      if (!caller.roles.includes('admin') && tenant !== caller.tenant) return;
      if ((query['vm'] && p.vmId !== query['vm']) || (query['move'] && p.moveId !== query['move'])) return;
      void stream.send('progress', p);
    });
    stream.signal.addEventListener('abort', stop);
    void this.wake.whenStopped().then(() => stream.end());
  }
}
