import { Controller, Get, Inject, Req, type StreamableFile } from '@nestjs/common';
import { Allow, Doc, passOn, type Answer, type ApiRequest, type SocketRoute } from '@chrysalis/service-kit';
import { Owners } from '../owners.ts';
import { passedDoc } from './docs.ts';

/** A picture is passed on as it comes: it is no JSON. */
@Controller()
export class ConsolesController {
  constructor(@Inject(Owners) private readonly owners: Owners) {}

  @Get('/v1/vms/:id/screen')
  @Allow('operator')
  @Doc(passedDoc('A picture of what a VM shows on its screen'))
  screen(@Req() request: ApiRequest): Promise<StreamableFile | Answer> {
    return this.owners.stream('agent-gateway', request);
  }
}

/** The gateway's own, with the caller's token: it judges who may do what, and records it. */
export const consoleSocket = (owners: Owners): SocketRoute => ({
  path: '/v1/vms/:id/console',
  needed: 'operator',
  pattern: /^\/v1\/vms\/([A-Za-z0-9_.:@-]{1,127})\/console$/,
  accept: async ({ url, token }) => {
    const gateway = await owners.socket('agent-gateway', url, token);
    return (client) => {
      passOn(client, gateway);
      passOn(gateway, client);
      gateway.resume();
    };
  },
});
