import { Controller, Get, Headers, Inject, Param, Query as QueryParams, Req, Res } from '@nestjs/common';
import { views } from '@chrysalis/contracts';
import { Allow, badQuery, Doc, SERVICE, type ApiRequest, type ServiceContext } from '@chrysalis/service-kit';
import type { FastifyReply } from 'fastify';
import { askedFor, MoveLog } from '../logs/read.ts';
import { positionOf } from '../reads/feed.ts';
import { ReadModels, type Query } from '../reads/read-models.ts';
import { models } from '../reads/tables.ts';
import { Wake } from '../reads/wake.ts';
import { streamed } from '../sse.ts';

@Controller()
export class LogsController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(ReadModels) private readonly reads: ReadModels,
    @Inject(Wake) private readonly wake: Wake,
  ) {}

  @Get('/v1/migrations/:id/logs')
  @Allow('viewer')
  @Doc({
    summary:
      'The story of a migration, or of one move by its id: steps, attempts, causes, executors, and what QEMU, agents and scripts said',
    query: {
      vm: 'Only of this VM, by its id or name',
      follow:
        '`true`: as Server-Sent Events, `log` for each line, until `end` with the end of the migration; resumes after `Last-Event-ID`',
    },
    answers: {
      200: views.MigrationLog,
      404: '`migration.unknown`, `vm.unknown`',
    },
  })
  async logs(
    @Param('id') id: string,
    @QueryParams() query: Query,
    @Req() request: ApiRequest,
    @Res() reply: FastifyReply,
    @Headers('last-event-id') last?: string,
  ): Promise<void> {
    const { caller } = request;
    const { vm, follow = 'false' } = query;
    if (follow !== 'true' && follow !== 'false') throw badQuery({ path: 'follow', message: '`true` or `false`' });
    const asked = await askedFor(this.reads, id, vm, caller);
    const log = new MoveLog(this.reads, asked, positionOf(last) ?? '0', caller);
    const stateNow = async (): Promise<string> => (await this.reads.one(models.migrations, asked.migrationId, caller))['state'] as string;
    if (follow === 'false') {
      const state = await stateNow();
      await reply.send({ migrationId: asked.migrationId, state, items: await log.next() });
      return;
    }
    await streamed(reply, request, this.service.log, async (stream) => {
      while (!stream.signal.aborted && !this.wake.stopped) {
        const state = await stateNow(); // before the lines: what came to the end is in them
        const lines = await log.next();
        const newest = lines.reduce((max, l) => (BigInt(l.position) > max ? BigInt(l.position) : max), 0n);
        // Lines come by time, positions by arrival: one that was cut off in between is begun anew from before all of them.
        for (const [i, line] of lines.entries()) await stream.send('log', line, i === lines.length - 1 ? String(newest) : undefined);
        if (state !== 'running' && state !== 'paused') return stream.send('end', { migrationId: asked.migrationId, state });
        await this.wake.changed(1_000, stream.signal);
      }
    });
  }
}
