import { Controller, Get, Inject, Param, Query, Req, StreamableFile } from '@nestjs/common';
import { CONSOLE_TAIL, views } from '@chrysalis/contracts';
import { Allow, Doc, Media, ProblemError, type ApiRequest } from '@chrysalis/service-kit';
import { z } from 'zod';
import { collect } from '../consoles/collect.ts';
import { Consoles } from '../consoles/consoles.ts';
import { CONSOLE_PATH, consoleQuery, mayWrite } from '../consoles/terminal.ts';

const refused = '`console.no_host`, `console.not_here`, `console.agent_too_old`';
const MAX_LINES = 100_000;

@Controller()
export class ConsolesController {
  constructor(@Inject(Consoles) private readonly consoles: Consoles) {}

  @Get(CONSOLE_PATH)
  @Allow('operator')
  @Doc({
    summary: "A VM's serial console, as a WebSocket: binary messages are the guest's bytes, text is JSON about them",
    query: consoleQuery,
    answers: {
      101: new Media('application/octet-stream', 'The console; its last text message says how it ended'),
      403: '`auth.denied`, where `write` is asked for without the role `console`',
      404: '`vm.unknown`',
      409: '`console.no_host`',
      426: '`console.upgrade_required`',
    },
  })
  async console(
    @Req() { caller }: ApiRequest,
    @Param('id') vmId: string,
    @Query() query: Readonly<Record<string, string>>,
  ): Promise<never> {
    if (query['write'] === 'true') mayWrite(caller);
    await this.consoles.placeOf(vmId, caller);
    throw ProblemError.of({ code: 'console.upgrade_required', message: 'The console of a VM is a WebSocket' });
  }

  @Get('/v1/vms/:id/console-log')
  @Allow('operator')
  @Doc({
    summary: 'What a VM wrote to its serial console: the last 64 KiB, kept over its moves and starts',
    query: {
      lines: z
        .string()
        .refine((t) => /^[1-9]\d{0,5}$/.test(t) && Number(t) <= MAX_LINES, `a number, from 1 to ${MAX_LINES}`)
        .describe('Only so many, the last'),
    },
    answers: { 200: views.ConsoleLog, 404: '`vm.unknown`', 409: refused, 503: '`console.host_away`, `console.no_answer`' },
  })
  async log(
    @Req() { caller }: ApiRequest,
    @Param('id') id: string,
    @Query('lines') lines?: string,
  ): Promise<z.infer<typeof views.ConsoleLog>> {
    const place = await this.consoles.placeOf(id, caller);
    const { vmId, hostId } = place;
    const bytes = await collect(this.consoles, place, { what: 'log', write: false, force: false, tail: CONSOLE_TAIL }, caller);
    const told = lines === undefined ? bytes : lastLines(bytes, Number(lines));
    return { vmId, hostId, text: told.toString('utf8'), bytes: told.length };
  }

  @Get('/v1/vms/:id/screen')
  @Allow('operator')
  @Doc({
    summary: 'A picture of what a VM shows on its screen, where its image asks for a display',
    answers: {
      200: new Media('image/png', 'The picture'),
      404: '`vm.unknown`',
      409: `\`hypervisor.no_display\`, ${refused}`,
      503: '`console.host_away`, `console.no_answer`',
    },
  })
  async screen(@Req() { caller }: ApiRequest, @Param('id') id: string): Promise<StreamableFile> {
    const place = await this.consoles.placeOf(id, caller);
    const picture = await collect(this.consoles, place, { what: 'screen', write: false, force: false, tail: 0 }, caller);
    return new StreamableFile(picture, { type: 'image/png' });
  }
}

/** A last line that has no end yet is one as well. Bytes stay what they are: Latin 1 has one character for each. */
const lastLines = (bytes: Buffer, count: number): Buffer => {
  const lines = bytes.toString('latin1').split('\n');
  return Buffer.from(lines.slice(-count - (lines.at(-1) === '' ? 1 : 0)).join('\n'), 'latin1');
};
