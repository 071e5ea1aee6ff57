import { HostsController } from './hosts.controller.ts';
import { PlacementsController } from './placements.controller.ts';
import { PoolsController } from './pools.controller.ts';

export const controllers = [HostsController, PlacementsController, PoolsController];
