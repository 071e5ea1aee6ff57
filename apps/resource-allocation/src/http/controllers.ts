import { HostsController } from './hosts.controller.ts';
import { PlacementsController } from './placements.controller.ts';

export const controllers = [HostsController, PlacementsController];
