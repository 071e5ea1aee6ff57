import { HostsController } from './http/hosts.controller.ts';
import { PlacementsController } from './http/placements.controller.ts';

export const controllers = [HostsController, PlacementsController];
