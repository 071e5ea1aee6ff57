import type { Kind } from '../kind.ts';
import { networkCodes } from './codes.ts';
import { networkCommands as c } from './commands.ts';
import { networkEvents } from './events.ts';
import { networkStates } from './shapes.ts';
import { Network } from './view.ts';

export const networkKind = {
  noun: 'network',
  plural: 'networks',
  events: networkEvents,
  codes: networkCodes,
  routes: [
    { name: 'createNetwork', verb: 'post /v1/networks', command: c.createNetwork },
    { name: 'deleteNetwork', verb: 'delete /v1/networks/:id', command: c.deleteNetwork },
  ],
  view: Network,
  states: networkStates,
  filters: { name: { member: 'name', help: 'Only of this name' } },
} as const satisfies Kind;
