import type { Kind } from '../kind.ts';
import { addressCodes } from './codes.ts';
import { addressCommands as c } from './commands.ts';
import { addressEvents } from './events.ts';
import { addressStates } from './shapes.ts';
import { Address } from './view.ts';

export const addressKind = {
  noun: 'address',
  plural: 'addresses',
  events: addressEvents,
  codes: addressCodes,
  routes: [
    { name: 'reserveAddress', verb: 'post /v1/addresses', command: c.reserveAddress },
    { name: 'bindAddress', verb: 'post /v1/addresses/:id/bind', command: c.bindAddress },
    { name: 'unbindAddress', verb: 'post /v1/addresses/:id/unbind', command: c.unbindAddress },
    { name: 'releaseAddress', verb: 'delete /v1/addresses/:id', command: c.releaseAddress },
  ],
  view: Address,
  states: addressStates,
  filters: {
    name: { member: 'name', help: 'Only of this name' },
    address: { member: 'address', help: 'Only this one, of whichever network' },
    network: { member: 'networkId', help: 'Only of this network' },
    vm: { member: 'vmId', help: 'Only those that this VM has' },
  },
} as const satisfies Kind;
