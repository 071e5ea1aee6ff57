import type { Kind } from '../kind.ts';
import { volumeCodes } from './codes.ts';
import { volumeCommands as c } from './commands.ts';
import { volumeEvents } from './events.ts';
import { volumeStates } from './shapes.ts';
import { Volume } from './view.ts';

export const volumeKind = {
  noun: 'volume',
  plural: 'volumes',
  events: volumeEvents,
  codes: volumeCodes,
  routes: [
    { name: 'createVolume', verb: 'post /v1/volumes', command: c.createVolume },
    { name: 'attachVolume', verb: 'post /v1/volumes/:id/attach', command: c.attachVolume },
    { name: 'detachVolume', verb: 'post /v1/volumes/:id/detach', command: c.detachVolume },
    { name: 'growVolume', verb: 'post /v1/volumes/:id/grow', command: c.growVolume },
    { name: 'deleteVolume', verb: 'delete /v1/volumes/:id', command: c.deleteVolume },
  ],
  view: Volume,
  states: volumeStates,
  filters: {
    name: { member: 'name', help: 'Only of this name' },
    pool: { member: 'pool', help: 'Only in this pool' },
    vm: { member: 'vmId', help: 'Only those that this VM has' },
  },
} as const satisfies Kind;
